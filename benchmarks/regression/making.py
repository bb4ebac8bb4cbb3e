"""Train the stored part of the detectors and of the segmenter, on the shapes world or on a user's own COCO."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from benchmarks.core import settings as of_settings
from benchmarks.errors import InputError
from benchmarks.regression.heads import keep_trained_part
from benchmarks.regression.inference import STORED
from benchmarks.regression.judging import SETS, detector, judge
from benchmarks.regression.setting import DETECTORS_ON_COCO, Setting

#: Case -> what differs from scale mini.
_LENGTHS: dict[str, Mapping[str, Any]] = {
    **{case: {"updates": 500} for case in DETECTORS_ON_COCO},
    "uavdt": {"epochs": 8},
    "ade20k": {"iterations": 300, "learning_rate": 3e-3, "recipe": "corrected"},
}


def make_weights(setting: Setting, names: list[str]) -> list[str]:
    """Train and write the files of ``names`` (all where there are none); returns a line for each, with its scores."""
    unknown = [name for name in names if name not in _LENGTHS]
    if unknown:
        raise InputError(f"--only {unknown[0]}: nothing is stored for it; weights are made for {', '.join(_LENGTHS)}")
    lines = []
    making = dataclasses.replace(setting, tier="making")
    for name in names or list(DETECTORS_ON_COCO if setting.coco else _LENGTHS):
        task, target = detector(name), setting.weights / STORED[name]
        settings = of_settings.change(task.settings("mini"), _LENGTHS[name])
        classes = task.classes(task.open(making.data(SETS[name]), "mini", settings), settings)
        result, folder = judge(making, task, name, making.fresh(name), _LENGTHS[name], progress=True)
        keep_trained_part(folder, target, classes, f"ci_regression.py --make-weights on {setting.checkpoint.name}")
        scores = {k: round(v, 2) for k, v in result.metrics.items() if isinstance(v, float)}
        lines.append(f"{target}: {target.stat().st_size / 2**20:.1f} MiB, {json.dumps(scores)}")
    return lines
