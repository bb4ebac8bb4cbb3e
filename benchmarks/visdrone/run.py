"""Faster R-CNN FPN on VisDrone-DET, from a canonical checkpoint to the official score."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from benchmarks.checkpoints.canonical import read_canonical
from benchmarks.configs import third_party_configs
from benchmarks.engines import mmdet as engine
from benchmarks.uavdt.detector import detector_changes, detector_record, phases
from benchmarks.visdrone.dataset import IMAGES, VisdroneRoot, write_coco
from benchmarks.visdrone.evaluation import evaluate
from benchmarks.visdrone.options import Options
from benchmarks.visdrone.rows import CLASSES

CONFIGS = third_party_configs("mmdet")
CONFIG = {
    "paper": CONFIGS / "faster_rcnn_vit_fpn_visdrone.py",
    "mini": CONFIGS / "faster_rcnn_vit_fpn_visdrone_mini.py",
}


def run(
    checkpoint: str | os.PathLike[str],
    data: VisdroneRoot,
    out: str | os.PathLike[str],
    scale: str,
    options: Options,
    seed: int = 0,
    launcher: str = "none",
    devices: int = 1,
    progress: bool = True,
) -> dict[str, Any]:
    """Train on the training pictures, detect on the validation pictures, score; return metrics and what was run.

    ``out`` gets the annotation files, the snapshot, ``losses.jsonl`` and ``detections/<picture>.txt``; a run that finds
    its own snapshot there goes on from it. The score is read from the detection files:
    ``tools/evaluate_visdrone.py`` can only give the same. :class:`benchmarks.errors.InputError` for data, options or a
    checkpoint that cannot be used.
    """
    start, out, config = time.monotonic(), Path(out), CONFIG[scale]
    architecture = read_canonical(checkpoint)[1].architecture
    engine.require_mmdet()
    splits = {"train": data.train, "test": data.val}
    counts = {name: write_coco(split, out / f"instances_{name}.json") for name, split in splits.items()}
    changes = _data_changes(data, out, options) | detector_changes(
        engine.read_config(config), options, len(CLASSES), counts["train"]["annotated"], devices, architecture
    )
    runner = engine.train(config, checkpoint, out, changes, seed, progress=progress, launcher=launcher)
    reported = engine.test(runner)
    scores = evaluate(data.val.folder, out / "detections")
    if reported["visdrone/AP"] != scores["AP"]:
        raise RuntimeError(f"the metric says AP {reported['visdrone/AP']}, the files it wrote say {scores['AP']}")
    return {
        "metrics": scores,
        "run": {
            **detector_record(runner, config, options, changes, devices, architecture),
            "train": counts["train"],
            "test": counts["test"],
            "seed": seed,
            "seconds": round(time.monotonic() - start, 3),
        },
    }


def _data_changes(data: VisdroneRoot, out: Path, options: Options) -> dict[str, Any]:
    """Config keys for where the data is."""
    changes: dict[str, Any] = {}
    for phase, split in phases(options):
        if phase != "train":
            changes[f"{phase}_evaluator.ground_truth"] = str(data.val.folder)
        folder = {"train": data.train, "test": data.val}[split].folder
        changes[f"{phase}_dataloader.dataset.data_root"] = str(folder / IMAGES)
        changes[f"{phase}_dataloader.dataset.ann_file"] = str((out / f"instances_{split}.json").resolve())
        changes[f"{phase}_dataloader.dataset.metainfo"] = {"classes": CLASSES}
    return changes | {"test_evaluator.out": str(out / "detections")}
