"""Faster R-CNN FPN on UAVDT, from a canonical checkpoint to the official score."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from benchmarks.checkpoints.canonical import read_canonical
from benchmarks.configs import third_party_configs
from benchmarks.engines import mmdet as engine
from benchmarks.uavdt.dataset import CLASSES, UavdtRoot, write_coco
from benchmarks.uavdt.detector import detector_changes, detector_record, phases
from benchmarks.uavdt.evaluation import evaluate
from benchmarks.uavdt.intervals import interval
from benchmarks.uavdt.options import Options
from benchmarks.uavdt.scoring import OFFICIAL_IOU

CONFIGS = third_party_configs("mmdet")
CONFIG = {
    "paper": CONFIGS / "faster_rcnn_vit_fpn_uavdt.py",
    "mini": CONFIGS / "faster_rcnn_vit_fpn_mini.py",
}


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
    architecture = read_canonical(checkpoint)[1].architecture
    engine.require_mmdet()
    counts = {
        split: write_coco(data, split, out / f"instances_{split}.json", options.classes, progress)
        for split in ("train", "test")
    }
    changes = _data_changes(data, out, options) | detector_changes(
        engine.read_config(config), options, options.classes, counts["train"]["annotated"], devices, architecture
    )
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
            **detector_record(runner, config, options, changes, devices, architecture),
            "train": counts["train"],
            "test": counts["test"],
            "sequences": {"train": list(data.train), "test": list(data.test)},
            "seed": seed,
            "seconds": round(time.monotonic() - start, 3),
        },
    }


def _data_changes(data: UavdtRoot, out: Path, options: Options) -> dict[str, Any]:
    """Config keys for where the data is."""
    changes: dict[str, Any] = {}
    for phase, split in phases(options):
        if phase != "train":
            changes[f"{phase}_evaluator.ground_truth"] = str(data.ground_truth)
        changes[f"{phase}_dataloader.dataset.data_root"] = str(data.path)
        changes[f"{phase}_dataloader.dataset.ann_file"] = str((out / f"instances_{split}.json").resolve())
        changes[f"{phase}_dataloader.dataset.metainfo"] = {"classes": CLASSES[options.classes]}
    return changes | {"test_evaluator.out": str(out / "detections")}
