"""Tier ``inference``: stored weights, no training. Every score is a function of the code and of the files."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from benchmarks.ade20k.dataset import open_ade20k
from benchmarks.ade20k.run import SCALES as SEGMENTERS
from benchmarks.ade20k.run import run as run_ade20k
from benchmarks.checkpoints.canonical import read_canonical, write_canonical
from benchmarks.coco.dataset import open_coco
from benchmarks.coco.run import run as run_coco
from benchmarks.core.model import load_model
from benchmarks.davis.protocol import MINI
from benchmarks.davis.run import evaluate_checkpoint as run_davis
from benchmarks.knn.run import evaluate as run_knn
from benchmarks.regression.heads import place_snapshot
from benchmarks.regression.setting import CONFIGS, DETECTORS_ON_COCO, Malformed, Measured, Setting
from benchmarks.uavdt.dataset import CLASSES, open_uavdt
from benchmarks.uavdt.options import SCALES as DETECTORS
from benchmarks.uavdt.run import run as run_uavdt

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
    data = setting.data("davis")
    result = run_davis(setting.checkpoint, data, protocol=MINI, progress=False)
    names = {"J&F": "J&F-Mean", "J": "J-Mean", "F": "F-Mean"}
    scores = {name: 100 * result["metrics"][metric] for name, metric in names.items()}
    return Measured(scores, data, (setting.checkpoint,), result["run"])


def knn(setting: Setting) -> Measured:
    """k-NN by both protocols; the official one is for patch 16 alone."""
    data, scores, run = setting.data("imagenet"), {}, {}
    of_16 = at_patch_16(setting.checkpoint, setting.fresh("knn") / "patch16.safetensors")
    for protocol, checkpoint in (("corrected", setting.checkpoint), ("official", of_16)):
        found = run_knn(load_model(checkpoint), data, protocol, KS, progress=False)
        scores |= {f"{protocol} top-1, k={k}": value for k, value in found.pop("top1").items()}
        run[protocol] = found
    return Measured(scores, data, (setting.checkpoint,), run)


def coco(setting: Setting) -> Measured:
    """Mask R-CNN FPN with stored heads."""
    return _detect(setting, "coco")


def vitdet(setting: Setting) -> Measured:
    """ViTDet with stored pyramid and heads."""
    return _detect(setting, "vitdet")


def _detect(setting: Setting, case: str) -> Measured:
    data, out, stored = open_coco(setting.data("coco")), setting.fresh(case), setting.weights / STORED[case]
    place_snapshot(stored, out, data.classes, step=1)
    found = run_coco(setting.checkpoint, data, out, DETECTORS_ON_COCO[case], iterations=1, progress=False)
    return Measured(detection_scores(found["metrics"]), data.path, (setting.checkpoint, stored), found["run"])


def uavdt(setting: Setting) -> Measured:
    """Faster R-CNN FPN on UAVDT with stored heads, and the official score."""
    folder, out, stored = setting.data("uavdt"), setting.fresh("uavdt"), setting.weights / STORED["uavdt"]
    data, options = open_uavdt(folder, whole=False), DETECTORS["mini"]
    # All training frames in one batch: one step is the whole run, and it lies behind.
    options = dataclasses.replace(options, epochs=1, batch=sum(data.train.values()))
    place_snapshot(stored, out, CLASSES[options.classes], step=1)
    config = CONFIGS / "faster_rcnn.py"
    found = run_uavdt(setting.checkpoint, data, out, "mini", options, progress=False, config=config)
    return Measured({"AP": found["metrics"]["AP"]}, folder, (setting.checkpoint, stored), found["run"])


def ade20k(setting: Setting) -> Measured:
    """Semantic FPN (corrected recipe) with a stored head."""
    folder, out, stored = setting.data("ade20k"), setting.fresh("ade20k"), setting.weights / STORED["ade20k"]
    data, options = open_ade20k(folder), dataclasses.replace(SEGMENTERS["mini"], iterations=1, recipe="corrected")
    place_snapshot(stored, out, data.classes, step=1)
    found = run_ade20k(setting.checkpoint, data, out, "mini", options, progress=False)
    scores = {name: found["metrics"][name] for name in ("mIoU", "aAcc")}
    return Measured(scores, folder, (setting.checkpoint, stored), found["run"])


CASES = {run.__name__: run for run in (davis, knn, coco, vitdet, uavdt, ade20k)}


def detection_scores(metrics: dict[str, float | None]) -> dict[str, float]:
    """AP, AP50 and AP75 of boxes and masks; :class:`Malformed` where one has no value."""
    missing = [name for name in metrics if name.split("/")[1] in ("AP", "AP50", "AP75") and metrics[name] is None]
    if missing:
        raise Malformed(f"{', '.join(missing)}: no value")
    return {f"{kind} {name}": metrics[f"{kind}/{name}"] for kind in ("bbox", "segm") for name in ("AP", "AP50", "AP75")}


def at_patch_16(checkpoint: Path, target: Path) -> Path:
    """The checkpoint of patch 8 with patches of 16: it sees in a picture what the original sees in its half-size copy.

    Averaging 2x2 pixels and then projecting 8x8 is one projection of 16x16, whose weights are those of 8x8, each four
    times and divided by 4. Nothing is trained and nothing is rounded.
    """
    tensors, card = read_canonical(checkpoint)
    kernel = tensors["patch_embed.proj.weight"]
    wide = kernel.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3) / 4
    architecture = card.architecture
    doubled = dataclasses.replace(architecture, patch_size=16, image_size=2 * architecture.image_size)
    card = dataclasses.replace(card, architecture=doubled)
    write_canonical(target, {**tensors, "patch_embed.proj.weight": wide}, card)
    return target
