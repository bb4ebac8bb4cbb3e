"""Mask R-CNN FPN on COCO-format data, from a canonical checkpoint to average precisions."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from benchmarks.backbones.pyramid import default_taps
from benchmarks.checkpoints.canonical import read_canonical
from benchmarks.coco.dataset import CocoRoot, open_coco
from benchmarks.coco.scoring import score
from benchmarks.engines import mmdet as engine
from benchmarks.files import write_json

CONFIGS = Path(__file__).resolve().parents[2] / "third_party_configs" / "mmdet"
MINI = CONFIGS / "mask_rcnn_vit_fpn_mini.py"


def run(
    checkpoint: str | os.PathLike[str],
    coco_root: str | os.PathLike[str],
    out: str | os.PathLike[str],
    config: str | os.PathLike[str] = MINI,
    iterations: int | None = None,
    frozen: bool | None = None,
    seed: int = 0,
    resume: bool = True,
    progress: bool = True,
) -> dict[str, Any]:
    """Train on ``train2017``, detect on ``val2017``, score; return the metrics and what was run.

    ``iterations`` and ``frozen`` replace the config's. ``out`` gets the snapshot, ``losses.jsonl`` and
    ``detections.json``. Raises :class:`InputError` for data or a checkpoint that cannot be used.
    """
    start = time.monotonic()
    data = open_coco(coco_root)
    architecture = read_canonical(checkpoint)[1].architecture
    changes = data_changes(data)
    changes["model.neck.in_channels"] = [architecture.embed_dim] * 4
    if iterations is not None:
        changes["train_cfg.max_iters"] = iterations
    if frozen is not None:
        changes["model.backbone.frozen"] = frozen
    runner = engine.train(config, checkpoint, out, changes, seed, resume, progress)
    detections = engine.detect(runner, runner.cfg.detect_dataloader, progress)
    write_json(Path(out) / "detections.json", detections)
    return {
        "metrics": score(data.annotations("val"), detections),
        "run": {
            "config": Path(config).name,
            "iterations": runner.max_iters,
            "frozen": runner.cfg.model.backbone.frozen,
            "taps": list(default_taps(architecture.depth)),
            "train_images": data.train_images,
            "val_images": data.val_images,
            "detections": len(detections),
            "seed": seed,
            "seconds": round(time.monotonic() - start, 3),
        },
    }


def data_changes(data: CocoRoot) -> dict[str, Any]:
    """Config keys that point an mmdet config to a data set and its own categories."""
    changes: dict[str, Any] = {}
    for loader in ("train_dataloader", "detect_dataloader"):
        changes[f"{loader}.dataset.data_root"] = str(data.path)
        changes[f"{loader}.dataset.metainfo"] = {"classes": data.classes}
    for head in ("bbox_head", "mask_head"):
        changes[f"model.roi_head.{head}.num_classes"] = len(data.classes)
    return changes
