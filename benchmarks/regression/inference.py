"""Tier ``inference``: stored weights, no training. Every score is a function of the code and of the files."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.checkpoints.canonical import read_canonical, write_canonical
from benchmarks.core.result import Result
from benchmarks.core.tasks import task_named
from benchmarks.regression.judging import SETS, detector, judge
from benchmarks.regression.setting import Malformed, Measured, Setting

#: Case -> file of its stored part in the folder of weights.
STORED = {
    "coco": "mask_rcnn.safetensors",
    "vitdet": "mask_rcnn_vitdet.safetensors",
    "uavdt": "faster_rcnn.safetensors",
    "ade20k": "semantic_fpn.safetensors",
}

#: Neighbours that vote; the world has fewer features than ImageNet.
KS = (10, 20, 100)


def davis(setting: Setting) -> Measured:
    """DAVIS label propagation at 192 pixels."""
    result, _ = judge(setting, task_named("davis"), "davis", setting.fresh("davis"))
    names = {"J&F": "J&F-Mean", "J": "J-Mean", "F": "F-Mean"}
    scores = {name: 100 * result.metrics[metric] for name, metric in names.items()}
    return Measured(scores, setting.data("davis"), (setting.checkpoint,), result.run)


def knn(setting: Setting) -> Measured:
    """k-NN by both protocols; the official one is for patch 16 alone."""
    out, run = setting.fresh("knn"), {}
    scores: dict[str, float] = {}
    of_16 = at_patch_16(setting.checkpoint, out / "patch16.safetensors")
    for protocol, checkpoint in (("corrected", setting.checkpoint), ("official", of_16)):
        result, _ = judge(setting, task_named("knn"), "knn", out, {"protocol": protocol, "ks": KS}, checkpoint)
        scores |= {f"{protocol} top-1, k={k}": value for k, value in result.metrics["top1"].items()}
        run[protocol] = result.run
    return Measured(scores, setting.data("imagenet"), (setting.checkpoint,), run)


def coco(setting: Setting) -> Measured:
    """Mask R-CNN FPN with stored heads."""
    return _detect(setting, "coco")


def vitdet(setting: Setting) -> Measured:
    """ViTDet with stored pyramid and heads."""
    return _detect(setting, "vitdet")


def _detect(setting: Setting, case: str) -> Measured:
    result = _with_stored(setting, case, {"updates": 1})
    return _measured(setting, case, detection_scores(result.metrics), result)


def uavdt(setting: Setting) -> Measured:
    """Faster R-CNN FPN on UAVDT with stored heads, and the official score."""
    task = detector("uavdt")
    data = task.open(setting.data("uavdt"), "mini", task.settings("mini"))
    # All training frames in one batch: one step is the whole run, and it lies behind.
    result = _with_stored(setting, "uavdt", {"epochs": 1, "batch": sum(data.train.values())})
    return _measured(setting, "uavdt", {"AP": result.metrics["AP"]}, result)


def ade20k(setting: Setting) -> Measured:
    """Semantic FPN (corrected recipe) with a stored head."""
    result = _with_stored(setting, "ade20k", {"iterations": 1, "recipe": "corrected"})
    return _measured(setting, "ade20k", {name: result.metrics[name] for name in ("mIoU", "aAcc")}, result)


def _with_stored(setting: Setting, case: str, settings: Mapping[str, Any]) -> Result:
    task = detector(case, setting.weights / STORED[case])
    return judge(setting, task, case, setting.fresh(case), settings)[0]


def _measured(setting: Setting, case: str, scores: Mapping[str, float], result: Result) -> Measured:
    files = (setting.checkpoint, setting.weights / STORED[case])
    return Measured(dict(scores), setting.data(SETS[case]), files, result.run)


CASES = {run.__name__: run for run in (davis, knn, coco, vitdet, uavdt, ade20k)}


def detection_scores(metrics: dict[str, float | None]) -> dict[str, float]:
    """AP, AP50 and AP75 of boxes and masks; :class:`Malformed` where one has no value."""
    found = {name: value for name, value in metrics.items() if value is not None}
    missing = [name for name in metrics if name.split("/")[1] in ("AP", "AP50", "AP75") and name not in found]
    if missing:
        raise Malformed(f"{', '.join(missing)}: no value")
    return {f"{kind} {name}": found[f"{kind}/{name}"] for kind in ("bbox", "segm") for name in ("AP", "AP50", "AP75")}


def at_patch_16(checkpoint: Path, target: Path) -> Path:
    """The checkpoint of patch 8 with patches of 16: it sees in a picture what the original sees in its half-size copy.

    Averaging 2x2 pixels and then projecting 8x8 is one projection of 16x16, whose weights are those of 8x8, each four
    times and divided by 4. Nothing is trained and nothing is rounded.
    """
    tensors, card = read_canonical(checkpoint)
    kernel = tensors["patch_embed.proj.weight"]
    wide = kernel.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3) / 4
    architecture: Any = card.architecture
    doubled = dataclasses.replace(architecture, patch_size=16, image_size=2 * architecture.image_size)
    card = dataclasses.replace(card, architecture=doubled)
    write_canonical(target, {**tensors, "patch_embed.proj.weight": wide}, card)
    return target
