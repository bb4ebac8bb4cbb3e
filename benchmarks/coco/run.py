"""Mask R-CNN on COCO-format data, from a canonical checkpoint to average precisions."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.backbones.pyramid import default_taps
from benchmarks.checkpoints.canonical import read_canonical, read_card
from benchmarks.coco.check import require_pictures
from benchmarks.coco.dataset import CocoRoot
from benchmarks.coco.intervals import score_with_interval
from benchmarks.coco.recipe import Options, resolve
from benchmarks.coco.scoring import scorer
from benchmarks.configs import third_party_configs
from benchmarks.core.forecast import memory_lines
from benchmarks.engines import mmdet as engine
from benchmarks.engines.adaptation import Adaptation
from benchmarks.engines.mmdet import model_changes
from benchmarks.engines.schedule import Schedule
from benchmarks.errors import InputError
from benchmarks.files import write_json
from benchmarks.processes import is_first_process

CONFIGS = third_party_configs("mmdet")
MINI = CONFIGS / "mask_rcnn_vit_fpn_mini.py"


def run(
    checkpoint: str | os.PathLike[str],
    data: CocoRoot,
    out: str | os.PathLike[str],
    config: str | os.PathLike[str] = MINI,
    iterations: int | None = None,
    frozen: bool | None = None,
    seed: int = 0,
    resume: bool = True,
    progress: bool = True,
    options: Options | None = None,
    launcher: str = "none",
    devices: int = 1,
    boxes_by: str = "pycocotools",
    adapted: tuple[Adaptation, Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """Train on ``train2017``, detect on ``val2017``, score; return metrics, interval and what was run.

    ``iterations`` (updates), ``frozen``, ``options`` and ``adapted`` (what the backbone is told, and the recipe)
    replace the config's. ``out`` gets the snapshot,
    ``losses.jsonl`` and ``detections.json``. Raises :class:`InputError` for data or a checkpoint that cannot be used.
    Of several processes all take part, and the first alone has metrics.
    """
    start = time.monotonic()
    scorer(boxes_by)
    engine.require_mmdet()
    experiment = engine.read_config(config)
    architecture: Any = read_canonical(checkpoint)[1].architecture
    check_fit(experiment["expects"], architecture, checkpoint, Path(config).name)
    options = options or Options()
    if iterations is not None:
        options = dataclasses.replace(options, updates=iterations)
    if is_first_process():
        require_pictures(data, progress)
    gpu = engine.device_name() != "cpu"
    adaptation, recipe = adapted or (Adaptation(), experiment["recipe"])
    schedule = resolve(recipe, data.annotated_images, devices, options, gpu)
    changes = {
        **data_changes(data, out),
        **model_changes(experiment["model"], architecture, adaptation),
        **engine.schedule_changes(schedule),
    }
    if frozen is not None:
        changes["model.backbone.frozen"] = frozen
    runner = engine.train(config, checkpoint, out, changes, seed, resume, progress, launcher)
    detections = data.own_ids(engine.detect(runner, runner.cfg.detect_dataloader, progress))
    scores: dict[str, Any] = {"metrics": {}, "interval": {}}
    if is_first_process():
        write_json(Path(out) / "detections.json", detections)
        scores = score_with_interval(data.annotations("val"), detections, boxes_by)
    backbone = runner.cfg.model.backbone
    return {
        **scores,
        "run": {
            "engine": "mmdet",
            "config": Path(config).name,
            "iterations": schedule.updates,
            "schedule": schedule.as_record(),
            "frozen": backbone.frozen,
            "backbone": {"type": backbone.type, **adaptation.as_record()},
            "heads": backbone.get("num_heads") or getattr(architecture, "num_heads", None),
            "taps": list(default_taps(architecture.depth)) if backbone.type == "CanonicalViT" else None,
            "relative_positions": backbone.get("relative_positions"),
            "boxes_scored_by": boxes_by,
            "train_images": data.train_images,
            "val_images": data.val_images,
            "detections": len(detections),
            "seed": seed,
            "seconds": round(time.monotonic() - start, 3),
        },
    }


def memory(
    checkpoint: Path, frozen: bool | None, classes: int, experiment: Any, adaptation: Adaptation, schedule: Schedule
) -> list[str]:
    """What a plan says of the peak memory of a run with these settings."""
    from benchmarks.engines.memory import Pass, detector_peak, largest

    images = schedule.per_device
    told = Pass(images, largest(experiment, images), schedule.precision, schedule.accumulation > 1, schedule.devices)
    changes = {
        **_class_changes(classes),
        **model_changes(experiment["model"], read_card(checkpoint).architecture, adaptation),
        "model.backbone.checkpoint": str(checkpoint),
    }
    if frozen is not None:
        changes["model.backbone.frozen"] = frozen
    asked = {"model": experiment["model"], "changes": changes, "pass": dataclasses.asdict(told)}
    return memory_lines(checkpoint, asked, lambda: detector_peak(experiment, changes, told).line())


def check_fit(
    expects: Mapping[str, Any],
    architecture: Any,
    checkpoint: str | os.PathLike[str],
    config: str,
) -> None:
    """:class:`InputError` where a checkpoint is not of the kind, patch size, ... that an experiment is for.

    ``expects`` gives one value for a fact, or several that will do.
    """
    for fact, value in expects.items():
        # LazyConfig's tuples are no tuples.
        own, known = getattr(architecture, fact, None), (value,) if isinstance(value, (str, int)) else tuple(value)
        if own not in known:
            name = fact.replace("_", " ")
            raise InputError(
                f"{checkpoint} has {name} {own}, but {config} is for {' or '.join(map(str, known))}: "
                "choose another config"
            )


def data_changes(data: CocoRoot, out: str | os.PathLike[str]) -> dict[str, Any]:
    """Config keys that point an mmdet config to a data set and its own categories.

    An annotation file that no engine should read as it is gets its place taken by a rewritten one in ``out``.
    """
    changes: dict[str, Any] = {}
    for loader, split in (("train_dataloader", "train"), ("detect_dataloader", "val")):
        changes[f"{loader}.dataset.data_root"] = str(data.path)
        if split in data.rewritten:
            changes[f"{loader}.dataset.ann_file"] = str(data.engine_file(split, out).resolve())
        changes[f"{loader}.dataset.metainfo"] = {"classes": data.classes}
    return changes | _class_changes(len(data.classes))


def _class_changes(classes: int) -> dict[str, Any]:
    return {f"model.roi_head.{head}.num_classes": classes for head in ("bbox_head", "mask_head")}
