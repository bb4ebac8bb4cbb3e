"""Train the stored part of the detectors and of the segmenter, on the shapes world or on a user's own COCO."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.ade20k.dataset import open_ade20k
from benchmarks.ade20k.run import SCALES as SEGMENTERS
from benchmarks.ade20k.run import run as run_ade20k
from benchmarks.coco.dataset import open_coco
from benchmarks.coco.run import run as run_coco
from benchmarks.errors import InputError
from benchmarks.regression.heads import keep_trained_part
from benchmarks.regression.inference import STORED
from benchmarks.regression.setting import CONFIGS, DETECTORS_ON_COCO, Setting
from benchmarks.uavdt.dataset import CLASSES, open_uavdt
from benchmarks.uavdt.options import SCALES as DETECTORS
from benchmarks.uavdt.run import run as run_uavdt


def _detector(config: Path, setting: Setting, out: Path) -> tuple[tuple[str, ...], dict[str, Any]]:
    data = open_coco(setting.data("coco"))
    return data.classes, run_coco(setting.checkpoint, data, out, config, iterations=500)


def _uavdt(setting: Setting, out: Path) -> tuple[tuple[str, ...], dict[str, Any]]:
    data, config = open_uavdt(setting.data("uavdt"), whole=False), CONFIGS / "faster_rcnn.py"
    options = dataclasses.replace(DETECTORS["mini"], epochs=8)
    return CLASSES[options.classes], run_uavdt(setting.checkpoint, data, out, "mini", options, config=config)


def _ade20k(setting: Setting, out: Path) -> tuple[tuple[str, ...], dict[str, Any]]:
    data = open_ade20k(setting.data("ade20k"))
    options = dataclasses.replace(SEGMENTERS["mini"], iterations=300, learning_rate=3e-3, recipe="corrected")
    return data.classes, run_ade20k(setting.checkpoint, data, out, "mini", options)


_MAKERS: dict[str, Callable[[Setting, Path], tuple[tuple[str, ...], dict[str, Any]]]] = {
    **{case: partial(_detector, config) for case, config in DETECTORS_ON_COCO.items()},
    "uavdt": _uavdt,
    "ade20k": _ade20k,
}


def make_weights(setting: Setting, names: list[str]) -> list[str]:
    """Train and write the files of ``names`` (all where there are none); returns a line for each, with its scores."""
    unknown = [name for name in names if name not in _MAKERS]
    if unknown:
        raise InputError(f"--only {unknown[0]}: nothing is stored for it; weights are made for {', '.join(_MAKERS)}")
    lines = []
    making = dataclasses.replace(setting, tier="making")
    for name in names or list(DETECTORS_ON_COCO if setting.coco else _MAKERS):
        folder, target = making.fresh(name), setting.weights / STORED[name]
        classes, found = _MAKERS[name](making, folder)
        keep_trained_part(folder, target, classes, f"ci_regression.py --make-weights on {setting.checkpoint.name}")
        scores = {k: round(v, 2) for k, v in found["metrics"].items() if isinstance(v, float)}
        lines.append(f"{target}: {target.stat().st_size / 2**20:.1f} MiB, {json.dumps(scores)}")
    return lines
