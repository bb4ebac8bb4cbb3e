"""The two engines behind one face: where their configs are, what these say, and how a run goes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.configs import third_party_configs
from benchmarks.errors import InputError


@dataclass(frozen=True)
class Engine:
    """``run`` has the arguments and the result of :func:`benchmarks.coco.run.run`."""

    name: str
    run: Callable[..., dict[str, Any]]
    read_config: Callable[[Path], dict[str, Any]]
    require: Callable[[], None]
    device_name: Callable[[], str]

    def config(self, experiment: str) -> Path:
        """The config of an experiment; :class:`InputError` where this engine has none."""
        path = third_party_configs(self.name) / f"{experiment}.py"
        if not path.is_file():
            raise InputError(f"{self.name} has no config {experiment} here: take --engine mmdet")
        return path


def choose(name: str) -> Engine:
    """The engine called ``name``, installed or not."""
    if name == "detectron2":
        from benchmarks.coco.run_detectron2 import run
        from benchmarks.engines import detectron2 as engine

        return Engine(name, run, engine.read_config, engine.require_detectron2, engine.device_name)
    from benchmarks.coco.run import run as run_mmdet
    from benchmarks.engines import mmdet

    installed = partial(mmdet.require_installed, "mmdet", "mmcv")
    return Engine(name, run_mmdet, mmdet.read_config, installed, mmdet.device_name)
