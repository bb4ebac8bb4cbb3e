"""Table 3's detector as changes to its config: how pictures go in, the model, the schedule. UAVDT's and VisDrone's."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.backbones.pyramid import default_taps
from benchmarks.engines import mmdet as engine
from benchmarks.engines.adaptation import has_stages
from benchmarks.engines.schedule import Schedule, share
from benchmarks.uavdt.options import DetectorOptions

#: Steps of the rising learning rate; a short run takes a tenth of its steps.
WARM_UP = 1000


def phases(options: DetectorOptions) -> list[tuple[str, str]]:
    """The engine's phases, each with the split it sees."""
    return [("train", "train"), *([("val", "test")] if options.validate_every else []), ("test", "test")]


def detector_changes(
    config: Any, options: DetectorOptions, classes: int, annotated: int, devices: int, architecture: Any
) -> dict[str, Any]:
    """Config keys of a detector of ``classes``, trained on ``annotated`` pictures an epoch; none says where data is."""
    iterations = options.epochs * math.ceil(annotated / options.batch)
    return {
        **_picture_changes(config, options),
        **_model_changes(options, classes),
        **_schedule_changes(options, iterations, devices),
        **model_settings(config, options, architecture),
    }


def model_settings(config: Any, options: DetectorOptions, architecture: Any) -> dict[str, Any]:
    """Those of :func:`detector_changes` that decide how large the network is."""
    heads = {} if options.detector_heads is None else {"model.backbone.num_heads": options.detector_heads}
    return heads | engine.model_changes(config["model"], architecture, options.adaptation)


def detector_record(
    runner: Any, config: Path, options: DetectorOptions, changes: Mapping[str, Any], devices: int, architecture: Any
) -> dict[str, Any]:
    """What was trained, for the record; ``changes`` are those that the run was given."""
    backbone = runner.cfg.model.backbone
    return {
        "config": config.name,
        "options": options.as_record(),
        # mmengine counts passes.
        "iterations": changes["train_cfg.max_iters"] // changes["optim_wrapper.accumulative_counts"],
        "frozen": backbone.frozen,
        "backbone": {"type": backbone.type, **options.adaptation.as_record()},
        "taps": None if has_stages(architecture) else list(default_taps(architecture.depth)),
        "heads": options.detector_heads or getattr(architecture, "num_heads", None),
        "devices": devices,
    }


def _picture_changes(config: Any, options: DetectorOptions) -> dict[str, Any]:
    resized = {"Resize": {"scale": (options.long_side, options.short_side)}}
    changes = engine.transform_changes(config, "train_dataloader", {"EvenChips": {"chips": options.chips}, **resized})
    for phase, _ in phases(options)[1:]:
        changes |= engine.transform_changes(config, f"{phase}_dataloader", resized)
    if not options.validate_every:
        changes |= {"val_dataloader": None, "val_evaluator": None, "val_cfg": None}
    return changes


def _model_changes(options: DetectorOptions, classes: int) -> dict[str, Any]:
    # Anchors and proposals more than half inside a region teach nothing, or the regions are background.
    masked = 0.5 if options.ignored_regions == "masked" else -1
    return {
        "model.roi_head.bbox_head.num_classes": classes,
        "model.train_cfg.rpn.assigner.ignore_iof_thr": masked,
        "model.train_cfg.rcnn.assigner.ignore_iof_thr": masked,
        "model.test_cfg.rcnn.score_thr": options.score_threshold,
        "model.test_cfg.rcnn.max_per_img": options.detections_per_image,
        "model.test_cfg.rcnn.nms.class_agnostic": options.nms == "pooled",
    }


def _schedule_changes(options: DetectorOptions, iterations: int, devices: int) -> dict[str, Any]:
    per_device = share(options.batch, options.per_device, devices)
    passes = options.batch // (devices * per_device)
    warm_up, drops = min(WARM_UP, max(1, iterations // 10)), (iterations * 2 // 3, iterations * 11 // 12)
    schedule = Schedule(
        options.batch, devices, per_device, passes, iterations, warm_up, drops, options.learning_rate, "fp32"
    )
    changes = engine.schedule_changes(schedule)
    if options.validate_every:
        changes["train_cfg.val_interval"] = options.validate_every * schedule.passes // options.epochs
    return changes
