"""Runs of mmengine, which mmdet and mmseg share: start or go on, verified loading, test."""

from __future__ import annotations

import contextlib
import copy
import functools
import os
import re
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from benchmarks.checkpoints.canonical import read_canonical
from benchmarks.devices import say_device, say_once
from benchmarks.engines.mmcv_ops import operators
from benchmarks.engines.pixels import pixel_statistics
from benchmarks.errors import InputError
from benchmarks.files import require_file
from benchmarks.processes import PATIENCE

#: What the commands call a launcher -> what mmengine calls it.
LAUNCHERS = {"none": "none", "torchrun": "pytorch", "slurm": "slurm"}


def require_installed(*packages: str) -> None:
    """:class:`InputError` where a package is not installed. Not imported, which takes seconds: for plans."""
    if missing := [name for name in packages if find_spec(name) is None]:
        raise InputError(f"{' and '.join(missing)} cannot be found: pip install -r requirements.txt")


def device_name() -> str:
    """What mmengine trains on here: the first GPU's name, or ``cpu``."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"


def read_config(config_file: str | os.PathLike[str]) -> dict[str, Any]:
    """A config with its bases as plain data. What it imports for a run is not imported: a plan does without."""
    path = require_file(config_file, "config")
    # mmengine reads a hundred files of a library's to find one base in it.
    marks = tuple(sorted((one.name, one.stat().st_mtime_ns) for one in path.parent.glob("*.py")))
    return copy.deepcopy(_read_config(str(path), marks))


@functools.lru_cache
def _read_config(path: str, marks: tuple[tuple[str, int], ...]) -> dict[str, Any]:
    from mmengine.config import Config

    return cast(dict[str, Any], Config.fromfile(path, import_custom_modules=False).to_dict())


def run_config(config_file: str | os.PathLike[str]) -> Any:
    """A config for a run, mmengine's ``Config``; what it names is imported.

    Its text goes into logs and snapshots as it is: to lay it out anew costs a run five seconds.
    """
    from mmengine.config import Config

    found = Config.fromfile(str(require_file(config_file, "config")))
    # mmengine 0.10 takes the option here alone; its ``fromfile`` loses it.
    return Config(found.to_dict(), filename=found.filename, cfg_text=found.text, format_python_code=False)


def transform_changes(
    config: Mapping[str, Any], loader: str, settings: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Config keys that set options of a loader's transforms by their type, as ``{"Resize": {"scale": (1000, 600)}}``.

    ``config`` is what :func:`read_config` gives. A type that is not there exactly once is an error of ours.
    """
    pipeline = config[loader]["dataset"]["pipeline"]
    changes: dict[str, Any] = {}
    for kind, options in settings.items():
        (place,) = [number for number, transform in enumerate(pipeline) if transform["type"] == kind]
        changes |= {f"{loader}.dataset.pipeline.{place}.{name}": value for name, value in options.items()}
    return changes


def train(
    config_file: str | os.PathLike[str],
    checkpoint: str | os.PathLike[str],
    out: str | os.PathLike[str],
    changes: dict[str, Any],
    seed: int,
    resume: bool = True,
    progress: bool = True,
    launcher: str = "none",
):
    """Train a network with verified loading; return mmengine's runner after its last iteration.

    Pixels are normalised as the checkpoint's card says. ``changes`` are dotted config keys. A run that finds its own
    snapshot in ``out`` goes on from it. The data must have been checked before: both libraries read it lazily.
    ``launcher`` is who started this process: none, torchrun or slurm.
    """
    from mmengine.runner import Runner

    config = run_config(config_file)
    out = Path(out)
    snapshot = out / "last.pth"
    mean, std = pixel_statistics(read_canonical(checkpoint)[1])
    config.merge_from_dict(
        {
            "work_dir": str(out),
            "launcher": LAUNCHERS[launcher],
            "env_cfg.dist_cfg.timeout": PATIENCE.total_seconds(),
            "model.backbone.checkpoint": str(checkpoint),
            "model.data_preprocessor.mean": mean,
            "model.data_preprocessor.std": std,
            # On a GPU it would end the run: bicubic resizing, which learned positions need, has no such backward.
            "randomness": {"seed": seed, "deterministic": not torch.cuda.is_available()},
            "resume": resume and snapshot.exists(),
            "load_from": str(snapshot) if resume and snapshot.exists() else None,
            **changes,
        }
    )
    for hook in config.custom_hooks:
        if hook["type"] in ("LossLog", "TestBar"):
            hook["progress"] = progress
        if hook["type"] == "ReplayedSteps":
            hook["seed"] = seed
    if config.train_dataloader.dataset.type == "ReplayedCoco":
        config.train_dataloader.dataset.seed = seed
    if launcher == "torchrun" and not torch.cuda.is_available():
        # mmengine takes it for granted that every process has a GPU.
        wrapper = {"type": "MMDistributedDataParallel", "broadcast_buffers": False, "device_ids": None}
        config.model_wrapper_cfg = wrapper
        if not torch.distributed.is_initialized():
            torch.distributed.init_process_group("gloo", timeout=PATIENCE)
    try:
        # Standard output is for results; pycocotools, inside mmdet, talks there.
        with contextlib.redirect_stdout(sys.stderr):
            runner = Runner.from_cfg(config)
            say_device()
            say_once(f"mmcv's operators: {operators()}")
            if launcher != "none" and not torch.cuda.is_available():
                refuse_sync_norms(runner.model)
            runner.train()
    except InputError as error:
        raise InputError(own_line(error)) from None
    return runner


def refuse_sync_norms(model: nn.Module) -> None:
    """:class:`InputError` for synchronised batch norms, which torch has for GPUs only."""
    if any(isinstance(module, nn.SyncBatchNorm) for module in model.modules()):
        raise InputError(
            "batch norms are synchronised between GPUs only and torch finds none here: take one process "
            "(--launcher none), where they are plain ones"
        )


def test(runner) -> dict[str, float]:
    """The metrics of a trained runner by its config's own evaluator on its config's test data."""
    try:
        return runner.test()
    except InputError as error:
        raise InputError(own_line(error)) from None


def own_line(error: InputError) -> str:
    """A loader process wraps an error into its traceback; the line that matters is the last."""
    return re.split(r"\bInputError: ", str(error).strip())[-1]
