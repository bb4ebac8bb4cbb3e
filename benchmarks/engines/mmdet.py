"""mmdet as an engine: a canonical checkpoint, a config and COCO-format data in; detections out."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch

from benchmarks.backbones.patches import nearest_stride
from benchmarks.engines.adaptation import Adaptation, has_stages, widths_of
from benchmarks.engines.mmengine_run import (
    LAUNCHERS,
    device_name,
    own_line,
    read_config,
    require_installed,
    test,
    train,
    transform_changes,
)
from benchmarks.engines.schedule import Schedule
from benchmarks.errors import InputError
from benchmarks.progress import Progress

__all__ = [
    "LAUNCHERS",
    "coco_classes",
    "detect",
    "device_name",
    "model_changes",
    "read_config",
    "require_installed",
    "require_mmdet",
    "schedule_changes",
    "test",
    "train",
    "transform_changes",
]


def require_mmdet() -> None:
    """:class:`InputError` where mmdet or mmcv cannot be imported."""
    try:
        import mmcv.ops  # noqa: F401
        import mmdet  # noqa: F401
    except ImportError as error:
        raise InputError(f"mmdet cannot be used ({error}): pip install -r requirements.txt") from error


def coco_classes() -> tuple[str, ...]:
    """COCO's 80 categories in the order in which mmdet and detectron2 number them."""
    require_mmdet()
    from mmdet.datasets import CocoDataset

    return tuple(CocoDataset.METAINFO["classes"])


def schedule_changes(schedule: Schedule) -> dict[str, Any]:
    """Config keys of a :class:`benchmarks.engines.schedule.Schedule`. mmengine counts passes, not updates.

    Snapshots are taken between updates: accumulated gradients are in no snapshot.
    """
    passes = schedule.accumulation
    changes: dict[str, Any] = {
        "train_dataloader.batch_size": schedule.per_device,
        "train_cfg.max_iters": schedule.passes,
        "optim_wrapper.accumulative_counts": passes,
        "optim_wrapper.optimizer.lr": schedule.learning_rate,
        "param_scheduler": [
            {
                "type": "LinearLR",
                "start_factor": 0.001,
                "by_epoch": False,
                "begin": 0,
                "end": schedule.warm_up * passes,
            },
            {
                "type": "MultiStepLR",
                "by_epoch": False,
                "milestones": [d * passes for d in schedule.drops],
                "gamma": 0.1,
            },
        ],
    }
    if schedule.precision == "fp16":
        changes |= {"optim_wrapper.type": "AmpOptimWrapper", "optim_wrapper.dtype": "float16"}
    elif schedule.precision == "bf16":
        changes["optim_wrapper.type"] = "Bf16OptimWrapper"
    if schedule.precision != "fp32":
        changes["model.rpn_head.type"] = "PreciseRPN"
    return changes


def model_changes(model: Mapping[str, Any], architecture: Any, adaptation: Adaptation | None = None) -> dict[str, Any]:
    """Config keys that fit an experiment's backbone and neck to a checkpoint: its kind, widths and patch."""
    told, kind = adaptation or Adaptation(), model["backbone"]["type"]
    changes: dict[str, Any] = {"model.backbone.patches": told.patches}
    if told.checkpointing:
        changes["model.backbone.checkpointing"] = True
    if kind == "CanonicalViTDet":
        given = {"window": told.window, "prefix_tokens": told.prefix_tokens, "drop_path_rate": told.drop_path}
        given["global_attention"] = told.global_attention
        changes |= {f"model.backbone.{name}": value for name, value in given.items() if value is not None}
        rates = {"rate": told.layer_decay, "all_decay": told.all_decay}
        changes |= {f"optim_wrapper.paramwise_cfg.{name}": value for name, value in rates.items() if value is not None}
        patch = nearest_stride(architecture.patch_size)
        return changes | {"model.neck.in_channels": architecture.embed_dim, "model.neck.patch": patch}
    if kind == "CanonicalViT" and has_stages(architecture):
        changes["model.backbone.type"] = "CanonicalStages"
    return changes | {"model.neck.in_channels": widths_of(architecture)}


def detect(runner, dataloader_config: dict[str, Any], progress: bool = True) -> list[dict[str, Any]]:
    """Detections of a trained runner on a data set, in COCO's result format, image by image in the data set's order.

    Several processes share the images; the first gets all detections, the others none. Each is ``image_id``,
    ``category_id`` (the annotation file's own), ``bbox`` [x, y, w, h] in pixels of the original image, ``score`` and,
    from a detector with masks, ``segmentation`` (RLE).
    """
    from mmengine.dist import collect_results
    from pycocotools import mask as rle

    with contextlib.redirect_stdout(sys.stderr):
        loader = runner.build_dataloader(dataloader_config)
    categories = loader.dataset.cat_ids
    model = runner.model.eval()
    found: list[list[dict[str, Any]]] = []
    for batch in Progress(_without_worker_traceback(loader), desc="detections", unit="batch", disable=not progress):
        with torch.inference_mode():
            samples = model.test_step(batch)
        for sample in samples:
            found.append([])
            instances = sample.pred_instances.cpu().numpy()
            masks = instances.masks if "masks" in instances else [None] * len(instances)
            for box, score, label, mask in zip(
                instances.bboxes, instances.scores, instances.labels, masks, strict=True
            ):
                left, top, right, bottom = map(float, box)
                detection = {
                    "image_id": int(sample.img_id),
                    "category_id": int(categories[label]),
                    "bbox": [left, top, right - left, bottom - top],
                    "score": float(score),
                }
                if mask is not None:
                    encoded = rle.encode(np.asfortranarray(mask, dtype=np.uint8))
                    detection["segmentation"] = {"size": encoded["size"], "counts": encoded["counts"].decode()}
                found[-1].append(detection)
    images = collect_results(found, len(loader.dataset)) or []
    return [detection for image in images for detection in image]


def _without_worker_traceback(loader: Iterable) -> Iterable:
    try:
        yield from loader
    except InputError as error:
        raise InputError(own_line(error)) from None
