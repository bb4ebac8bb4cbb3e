"""ViTDet in detectron2 on COCO-format data: :func:`benchmarks.coco.run.run` for the other engine."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.checkpoints.canonical import read_canonical
from benchmarks.coco.check import require_pictures
from benchmarks.coco.dataset import CocoRoot
from benchmarks.coco.intervals import score_with_interval
from benchmarks.coco.recipe import Options, resolve
from benchmarks.coco.run import check_fit
from benchmarks.coco.scoring import scorer
from benchmarks.engines import detectron2 as engine
from benchmarks.engines.adaptation import Adaptation
from benchmarks.errors import InputError
from benchmarks.files import write_json
from benchmarks.processes import is_first_process


def run(
    checkpoint: str | os.PathLike[str],
    data: CocoRoot,
    out: str | os.PathLike[str],
    config: str | os.PathLike[str],
    seed: int = 0,
    resume: bool = True,
    progress: bool = True,
    options: Options | None = None,
    frozen: bool | None = None,
    launcher: str = "none",
    devices: int = 1,
    boxes_by: str = "pycocotools",
    adapted: tuple[Adaptation, Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """Train on ``train2017``, detect on ``val2017``, score; arguments and result are those of the other engine's."""
    start = time.monotonic()
    if frozen is not None:
        raise InputError("a frozen backbone is mmdet's here: take --engine mmdet")
    scorer(boxes_by)
    experiment = engine.read_config(config)
    architecture: Any = read_canonical(checkpoint)[1].architecture
    check_fit(experiment.expects, architecture, checkpoint, Path(config).name)
    if is_first_process():
        require_pictures(data, progress)
    gpu = engine.device_name() != "cpu"
    adaptation, recipe = adapted or (Adaptation(), experiment.recipe)
    schedule = resolve(recipe, data.annotated_images, devices, options or Options(), gpu)
    model, resolved = engine.train(
        config, checkpoint, out, data, schedule, seed, resume, progress, launcher, adaptation
    )
    detections = data.own_ids(engine.detect(model, resolved, data, out, progress))
    scores: dict[str, Any] = {"metrics": {}, "interval": {}}
    if is_first_process():
        write_json(Path(out) / "detections.json", detections)
        scores = score_with_interval(data.annotations("val"), detections, boxes_by)
    backbone: Any = model.backbone
    return {
        **scores,
        "run": {
            "engine": "detectron2",
            "config": Path(config).name,
            "iterations": schedule.updates,
            "schedule": schedule.as_record(),
            "heads": architecture.num_heads,
            "backbone": {"type": type(backbone.net).__name__, **adaptation.as_record()},
            "relative_positions": any(".rel_pos_" in name for name in backbone.net.state_dict()),
            "boxes_scored_by": boxes_by,
            "train_images": data.train_images,
            "val_images": data.val_images,
            "detections": len(detections),
            "seed": seed,
            "seconds": round(time.monotonic() - start, 3),
        },
    }
