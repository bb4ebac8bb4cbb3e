"""Faster R-CNN FPN on UAVDT, from a canonical checkpoint to the official score."""

from __future__ import annotations

import math
import os
import time
from pathlib import Path
from typing import Any

from benchmarks.backbones.pyramid import default_taps
from benchmarks.checkpoints.canonical import read_canonical
from benchmarks.configs import third_party_configs
from benchmarks.engines import mmdet as engine
from benchmarks.engines.adaptation import has_stages
from benchmarks.engines.schedule import Schedule, share
from benchmarks.uavdt.dataset import CLASSES, UavdtRoot, write_coco
from benchmarks.uavdt.evaluation import evaluate
from benchmarks.uavdt.intervals import interval
from benchmarks.uavdt.options import Options
from benchmarks.uavdt.scoring import OFFICIAL_IOU

CONFIGS = third_party_configs("mmdet")
CONFIG = {
    "paper": CONFIGS / "faster_rcnn_vit_fpn_uavdt.py",
    "mini": CONFIGS / "faster_rcnn_vit_fpn_mini.py",
}

#: Steps of the rising learning rate; a short run takes a tenth of its steps.
WARM_UP = 1000


def run(
    checkpoint: str | os.PathLike[str],
    data: UavdtRoot,
    out: str | os.PathLike[str],
    scale: str,
    options: Options,
    seed: int = 0,
    launcher: str = "none",
    devices: int = 1,
    progress: bool = True,
    config: str | os.PathLike[str] | None = None,
) -> dict[str, Any]:
    """Train on the training sequences, detect on the test sequences, score; return metrics, interval and what was run.

    ``config`` replaces the scale's own. ``out`` gets the annotation files, the snapshot, ``losses.jsonl`` and
    ``detections/Mxxxx.txt``; a run that finds its own snapshot there goes on from it. The score is read from the
    detection files, so ``tools/evaluate_uavdt.py`` can only give the same. Raises :class:`InputError` for data, options
    or a checkpoint that cannot be used.
    """
    start, out, config = time.monotonic(), Path(out), Path(config or CONFIG[scale])
    per_device = share(options.batch, options.per_device, devices)
    architecture = read_canonical(checkpoint)[1].architecture
    engine.require_mmdet()
    counts = {
        split: write_coco(data, split, out / f"instances_{split}.json", options.classes, progress)
        for split in ("train", "test")
    }
    iterations = options.epochs * math.ceil(counts["train"]["annotated"] / options.batch)
    changes = {
        **_data_changes(data, out, options, config),
        **_model_changes(options),
        **_schedule_changes(options, iterations, devices, per_device),
        **engine.model_changes(engine.read_config(config)["model"], architecture, options.adaptation),
    }
    runner = engine.train(config, checkpoint, out, changes, seed, progress=progress, launcher=launcher)
    reported = engine.test(runner)
    outcomes = evaluate(data.ground_truth, out / "detections", list(data.test))
    scores = outcomes.scores()
    if reported["uavdt/AP"] != scores["AP"]:
        raise RuntimeError(f"the metric says AP {reported['uavdt/AP']}, the files it wrote say {scores['AP']}")
    return {
        "metrics": scores,
        "interval": interval(list(outcomes.at[OFFICIAL_IOU].values())),
        "run": {
            "config": config.name,
            "options": options.as_record(),
            "iterations": iterations,
            "frozen": runner.cfg.model.backbone.frozen,
            "backbone": {"type": runner.cfg.model.backbone.type, **options.adaptation.as_record()},
            "taps": None if has_stages(architecture) else list(default_taps(architecture.depth)),
            "heads": options.detector_heads or getattr(architecture, "num_heads", None),
            "devices": devices,
            "train": counts["train"],
            "test": counts["test"],
            "sequences": {"train": list(data.train), "test": list(data.test)},
            "seed": seed,
            "seconds": round(time.monotonic() - start, 3),
        },
    }


def _data_changes(data: UavdtRoot, out: Path, options: Options, config: Path) -> dict[str, Any]:
    """Config keys for where the data is and how a frame goes in."""
    size = (options.long_side, options.short_side)
    own, resized = engine.read_config(config), {"Resize": {"scale": size}}
    changes = engine.transform_changes(own, "train_dataloader", {"EvenChips": {"chips": options.chips}, **resized})
    for phase, split in (("train", "train"), ("val", "test"), ("test", "test")):
        if phase == "val" and not options.validate_every:
            changes |= {"val_dataloader": None, "val_evaluator": None, "val_cfg": None}
            continue
        if phase != "train":
            changes |= engine.transform_changes(own, f"{phase}_dataloader", resized)
            changes[f"{phase}_evaluator.ground_truth"] = str(data.ground_truth)
        changes[f"{phase}_dataloader.dataset.data_root"] = str(data.path)
        changes[f"{phase}_dataloader.dataset.ann_file"] = str((out / f"instances_{split}.json").resolve())
        changes[f"{phase}_dataloader.dataset.metainfo"] = {"classes": CLASSES[options.classes]}
    return changes | {"test_evaluator.out": str(out / "detections")}


def _model_changes(options: Options) -> dict[str, Any]:
    # Anchors and proposals more than half inside a region teach nothing, or the regions are background.
    masked = 0.5 if options.ignored_regions == "masked" else -1
    heads = {} if options.detector_heads is None else {"model.backbone.num_heads": options.detector_heads}
    return {
        **heads,
        "model.roi_head.bbox_head.num_classes": options.classes,
        "model.train_cfg.rpn.assigner.ignore_iof_thr": masked,
        "model.train_cfg.rcnn.assigner.ignore_iof_thr": masked,
        "model.test_cfg.rcnn.score_thr": options.score_threshold,
        "model.test_cfg.rcnn.max_per_img": options.detections_per_image,
        "model.test_cfg.rcnn.nms.class_agnostic": options.nms == "pooled",
    }


def _schedule_changes(options: Options, iterations: int, devices: int, per_device: int) -> dict[str, Any]:
    passes = options.batch // (devices * per_device)
    warm_up, drops = min(WARM_UP, max(1, iterations // 10)), (iterations * 2 // 3, iterations * 11 // 12)
    schedule = Schedule(
        options.batch, devices, per_device, passes, iterations, warm_up, drops, options.learning_rate, "fp32"
    )
    changes = engine.schedule_changes(schedule)
    if options.validate_every:
        changes["train_cfg.val_interval"] = options.validate_every * schedule.passes // options.epochs
    return changes
