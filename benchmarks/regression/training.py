"""Tier ``training``: short runs with a fixed seed, each of the positive control and of random weights.

The stored tolerance is the spread over seeds. Whatever the values are, the control must be above random weights.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

from benchmarks.ade20k.dataset import open_ade20k
from benchmarks.ade20k.run import SCALES as SEGMENTERS
from benchmarks.ade20k.run import run as run_ade20k
from benchmarks.coco.dataset import open_coco
from benchmarks.coco.run import run as run_coco
from benchmarks.controls import write_random_control
from benchmarks.core.model import load_model
from benchmarks.davis.protocol import MINI
from benchmarks.davis.run import evaluate_checkpoint as run_davis
from benchmarks.knn.run import evaluate as run_knn
from benchmarks.regression.setting import CONFIGS, DETECTORS_ON_COCO, Measured, Setting
from benchmarks.uavdt.dataset import open_uavdt
from benchmarks.uavdt.options import SCALES as DETECTORS
from benchmarks.uavdt.run import run as run_uavdt

#: Seeds of the stored values; a regression runs the first.
SEEDS = (0, 1, 2)

CONTROL, RANDOM = "control", "random"


def davis(setting: Setting, checkpoint: Path, out: Path, seed: int) -> tuple[Path, str, float]:
    """Nothing is trained here: the seed is that of the random weights."""
    data = setting.data("davis")
    found = run_davis(checkpoint, data, protocol=MINI, progress=False)
    return data, "J&F", 100 * found["metrics"]["J&F-Mean"]


def knn(setting: Setting, checkpoint: Path, out: Path, seed: int) -> tuple[Path, str, float]:
    """Nothing is trained here either."""
    data = setting.data("imagenet")
    return data, "top-1, k=20", run_knn(load_model(checkpoint), data, ks=(20,), progress=False)["top1"]["20"]


def coco(setting: Setting, checkpoint: Path, out: Path, seed: int) -> tuple[Path, str, float]:
    """150 updates of Mask R-CNN FPN."""
    return _detect(setting, checkpoint, out, seed, DETECTORS_ON_COCO["coco"])


def vitdet(setting: Setting, checkpoint: Path, out: Path, seed: int) -> tuple[Path, str, float]:
    """150 updates of ViTDet."""
    return _detect(setting, checkpoint, out, seed, DETECTORS_ON_COCO["vitdet"])


def _detect(setting: Setting, checkpoint: Path, out: Path, seed: int, config: Path) -> tuple[Path, str, float]:
    data = open_coco(setting.data("coco"))
    found = run_coco(checkpoint, data, out, config, iterations=150, seed=seed, progress=False)
    return data.path, "segm AP50", found["metrics"]["segm/AP50"]


def uavdt(setting: Setting, checkpoint: Path, out: Path, seed: int) -> tuple[Path, str, float]:
    """120 steps of Faster R-CNN FPN on UAVDT."""
    data = open_uavdt(setting.data("uavdt"), whole=False)
    options = dataclasses.replace(DETECTORS["mini"], epochs=4)
    config = CONFIGS / "faster_rcnn.py"
    found = run_uavdt(checkpoint, data, out, "mini", options, seed, progress=False, config=config)
    return data.path, "AP", found["metrics"]["AP"]


def ade20k(setting: Setting, checkpoint: Path, out: Path, seed: int) -> tuple[Path, str, float]:
    """150 steps of Semantic FPN."""
    data = open_ade20k(setting.data("ade20k"))
    options = dataclasses.replace(SEGMENTERS["mini"], iterations=150, learning_rate=3e-3, recipe="corrected")
    found = run_ade20k(checkpoint, data, out, "mini", options, seed, progress=False)
    return setting.data("ade20k"), "mIoU", found["metrics"]["mIoU"]


def _both(case: str, run: Callable[[Setting, Path, Path, int], tuple[Path, str, float]]):
    def judge(setting: Setting, seed: int = SEEDS[0]) -> Measured:
        folder = setting.fresh(case)
        write_random_control(folder / "random.safetensors", seed)
        scores = {}
        for name, checkpoint in ((CONTROL, setting.checkpoint), (RANDOM, folder / "random.safetensors")):
            data, score, value = run(setting, checkpoint, folder / name, seed)
            scores[f"{score}, {name}"] = value
        return Measured(scores, data, (setting.checkpoint,))

    judge.__doc__ = run.__doc__
    return judge


CASES = {run.__name__: _both(run.__name__, run) for run in (davis, knn, coco, vitdet, uavdt, ade20k)}
