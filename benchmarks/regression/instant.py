"""Tier ``instant``: every benchmark goes through two steps, and what it leaves behind is well-formed."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.backbones import load_backbone
from benchmarks.checkpoints.convert import convert
from benchmarks.coco.dataset import open_coco
from benchmarks.core.tasks import task_named
from benchmarks.files import read_json
from benchmarks.images import read_labels
from benchmarks.listing import list_images
from benchmarks.regression.inference import at_patch_16
from benchmarks.regression.judging import judge
from benchmarks.regression.setting import Malformed, Measured, Setting

ROOT = Path(__file__).resolve().parents[2]
STEPS = 2


def pretrain(setting: Setting) -> Measured:
    """One epoch of two steps of FLSL, whose checkpoint is then converted and loaded."""
    data, out = setting.data("coco") / "train2017", setting.fresh("pretrain")
    pictures = out / "pictures"
    pictures.mkdir()
    for name in list_images(data)[: 2 * STEPS]:
        (pictures / Path(name).name).symlink_to((data / name).resolve())
    command = [sys.executable, "-m", "pretrain", ROOT / "pretrain" / "configs" / "mini.yaml", f"data.root={pictures}"]
    command += [f"run.out={out / 'run'}", "run.epochs=1", "run.batch=2", "run.log_every=1", "data.workers=0"]
    done = subprocess.run([*map(str, command)], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Malformed(f"python -m pretrain ended with code {done.returncode}: {done.stderr.strip()[-300:]}")
    _require_losses(out / "run" / "log.jsonl")
    convert(out / "run" / "checkpoint.pth", out / "checkpoint.safetensors")
    load_backbone(out / "checkpoint.safetensors")
    return Measured({}, data)


def davis(setting: Setting) -> Measured:
    """Two frames after the first of every sequence."""
    result, _ = judge(setting, task_named("davis"), "davis", setting.fresh("davis"), {"frames": STEPS + 1})
    _require_between({name: result.metrics[name] for name in ("J&F-Mean", "J-Mean", "F-Mean")}, 0, 1)
    return Measured({}, setting.data("davis"))


def knn(setting: Setting) -> Measured:
    """Both protocols on a few pictures of each class."""
    out = setting.fresh("knn")
    of_16 = at_patch_16(setting.checkpoint, out / "patch16.safetensors")
    for protocol, checkpoint in (("corrected", setting.checkpoint), ("official", of_16)):
        result, _ = judge(setting, task_named("knn"), "knn", out, {"protocol": protocol, "ks": (5,)}, checkpoint)
        _require_between(result.metrics["top1"], 0, 100)
    return Measured({}, setting.data("imagenet"))


def coco(setting: Setting) -> Measured:
    """Two updates of Mask R-CNN FPN."""
    return _detect(setting, "coco", "coco-mask-rcnn")


def vitdet(setting: Setting) -> Measured:
    """Two updates of ViTDet."""
    return _detect(setting, "vitdet", "coco-vitdet")


def _detect(setting: Setting, case: str, task: str) -> Measured:
    result, left = judge(setting, task_named(task), case, setting.fresh(case), {"updates": STEPS})
    _require_losses(left / "losses.jsonl")
    _require_between({name: value for name, value in result.metrics.items() if value is not None}, 0, 100)
    data = open_coco(setting.data("coco"))
    _require_detections(read_json(left / "detections.json"), read_json(data.annotations("val")))
    return Measured({}, data.path)


def uavdt(setting: Setting) -> Measured:
    """Two steps of Faster R-CNN FPN on UAVDT."""
    task, data = task_named("uavdt"), setting.data("uavdt")
    frames = sum(task.open(data, "mini", task.settings("mini")).train.values())
    settings = {"epochs": 1, "batch": max(1, frames // STEPS)}
    result, left = judge(setting, task, "uavdt", setting.fresh("uavdt"), settings)
    _require_losses(left / "losses.jsonl")
    _require_between({"AP": result.metrics["AP"]}, 0, 100)
    return Measured({}, data)


def ade20k(setting: Setting) -> Measured:
    """Two steps of Semantic FPN, both recipes."""
    task, data, out = task_named("ade20k-fpn"), setting.data("ade20k"), setting.fresh("ade20k")
    pictures = len(task.open(data, "mini", task.settings("mini")).stems["validation"])
    for recipe in ("released", "corrected"):
        result, left = judge(setting, task, "ade20k", out, {"iterations": STEPS, "recipe": recipe})
        _require_losses(left / "losses.jsonl")
        _require_between({name: result.metrics[name] for name in ("mIoU", "mAcc", "aAcc")}, 0, 100)
        labels = [read_labels(path) for path in sorted((left / "predictions").glob("*.png"))]
        if len(labels) != pictures:
            raise Malformed(f"{len(labels)} predicted label maps for {pictures} images")
    return Measured({}, data)


CASES = {
    "pretrain": pretrain,
    "davis": davis,
    "knn": knn,
    "coco": coco,
    "vitdet": vitdet,
    "uavdt": uavdt,
    "ade20k": ade20k,
}


def _require_losses(log: Path) -> None:
    """One line a step, every number of it finite."""
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    if len(lines) != STEPS:
        raise Malformed(f"{log.name} has {len(lines)} lines after {STEPS} steps")
    for line in lines:
        # The pretraining writes null for a number that is not finite.
        wrong = [k for k, v in line.items() if v is None or (isinstance(v, float) and not math.isfinite(v))]
        if wrong:
            raise Malformed(f"{log.name}: {', '.join(wrong)} not finite")


def _require_between(values: dict[str, Any], low: float, high: float) -> None:
    wrong = {k: v for k, v in values.items() if not isinstance(v, (int, float)) or not low <= v <= high}
    if wrong or not values:
        raise Malformed(f"scores outside {low} to {high}: {wrong or 'there are none'}")


def _require_detections(detections: list[dict[str, Any]], truth: dict[str, Any]) -> None:
    """Detections in COCO's result format: known ids, boxes and masks inside their image, scores of 0 to 1."""
    from pycocotools import mask as rle

    sizes = {image["id"]: (image["height"], image["width"]) for image in truth["images"]}
    categories = {category["id"] for category in truth["categories"]}
    if not detections:
        raise Malformed("two updates of a detector leave many boxes, and there are none")
    for found in detections:
        height, width = sizes.get(found["image_id"], (0, 0))
        left, top, wide, high = found["bbox"]
        inside = min(left, top, wide, high) >= -0.01 and left + wide <= width + 0.01 and top + high <= height + 0.01
        mask = rle.decode(found["segmentation"])
        if not (
            inside
            and found["category_id"] in categories
            and 0 <= found["score"] <= 1
            and mask.shape == (height, width)
            and np.isin(mask, (0, 1)).all()
        ):
            raise Malformed(f"a detection is not in COCO's result format: {str(found)[:160]}")
