"""Table 3's detector as changes to its config: how pictures go in, the model, the schedule. UAVDT's and VisDrone's."""

from __future__ import annotations

import math
from typing import Any

from benchmarks.checkpoints.card import Architecture
from benchmarks.engines import mmdet as engine
from benchmarks.errors import InputError
from benchmarks.uavdt.options import DetectorOptions

#: Steps of the rising learning rate; a short run takes a tenth of its steps.
WARM_UP = 1000


def require_divisible(options: DetectorOptions, devices: int) -> None:
    """:class:`InputError` for a batch that the devices cannot share evenly."""
    if options.batch % devices:
        raise InputError(f"a batch of {options.batch} does not divide among {devices} devices: set --batch or --gpus")


def phases(options: DetectorOptions) -> list[tuple[str, str]]:
    """The engine's phases, each with the split it sees."""
    return [("train", "train"), *([("val", "test")] if options.validate_every else []), ("test", "test")]


def detector_changes(
    config: Any, options: DetectorOptions, classes: int, annotated: int, devices: int, architecture: Architecture
) -> dict[str, Any]:
    """Config keys of a detector of ``classes``, trained on ``annotated`` pictures an epoch; none says where data is."""
    iterations = options.epochs * math.ceil(annotated / options.batch)
    return {
        **_picture_changes(config, options),
        **_model_changes(options, classes),
        **_schedule_changes(options, iterations, devices),
        "model.neck.in_channels": [architecture.embed_dim] * 4,
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
        "model.backbone.num_heads": options.detector_heads,
        "model.roi_head.bbox_head.num_classes": classes,
        "model.train_cfg.rpn.assigner.ignore_iof_thr": masked,
        "model.train_cfg.rcnn.assigner.ignore_iof_thr": masked,
        "model.test_cfg.rcnn.score_thr": options.score_threshold,
        "model.test_cfg.rcnn.max_per_img": options.detections_per_image,
        "model.test_cfg.rcnn.nms.class_agnostic": options.nms == "pooled",
    }


def _schedule_changes(options: DetectorOptions, iterations: int, devices: int) -> dict[str, Any]:
    warm_up = min(WARM_UP, max(1, iterations // 10))
    milestones = [iterations * 2 // 3, iterations * 11 // 12]
    changes: dict[str, Any] = {
        "train_dataloader.batch_size": options.batch // devices,
        "train_cfg.max_iters": iterations,
        "optim_wrapper.optimizer.lr": options.learning_rate,
        "param_scheduler": [
            {"type": "LinearLR", "start_factor": 0.001, "by_epoch": False, "begin": 0, "end": warm_up},
            {"type": "MultiStepLR", "by_epoch": False, "milestones": milestones, "gamma": 0.1},
        ],
    }
    if options.validate_every:
        changes["train_cfg.val_interval"] = options.validate_every * iterations // options.epochs
    return changes
