"""The shapes world at the regression's sizes, rendered once into a cache folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import shapes
from benchmarks.shapes.writers.files import folder_hash

_AERIAL = ("M0101", "M0203", "M0208")  # one training sequence, two test sequences
_WRITERS: dict[str, Callable[..., Path]] = {
    "coco": shapes.write_coco,
    "davis": shapes.write_davis,
    "imagenet": shapes.write_imagenet,
    "uavdt": shapes.write_uavdt,
    "ade20k": shapes.write_ade20k,
}

#: World -> set -> arguments of its writer. Seeds differ, so that no picture of one world is in another.
WORLDS: dict[str, dict[str, dict[str, Any]]] = {
    "instant": shapes.WORLD_SCALES["tiny"],
    "inference": {
        "coco": {"train_images": 4, "val_images": 16, "size": 160},
        # Four times as fast: where things move slowly, a window of 12 tokens to each side is as good as one of 13.
        "davis": {"train_sequences": 0, "val_sequences": 3, "frames": 10, "height": 192, "width": 320, "every": 4},
        "imagenet": {"train_per_class": 8, "val_per_class": 8},
        "uavdt": {"sequences": _AERIAL, "frames": 8, "height": 288, "width": 512},
        "ade20k": {"train_images": 4, "val_images": 24, "size": 160},
    },
    "training": {
        "coco": {"train_images": 100, "val_images": 20, "size": 160},
        "davis": {"train_sequences": 0, "val_sequences": 4, "frames": 12, "height": 192, "width": 320},
        "imagenet": {"train_per_class": 20, "val_per_class": 10},
        # One training sequence is learned by heart: after 120 steps the control was below random weights.
        "uavdt": {"sequences": ("M0101", "M0201", "M0301", *_AERIAL[1:]), "frames": 20, "height": 288, "width": 512},
        "ade20k": {"train_images": 100, "val_images": 30, "size": 160},
    },
    # What the stored detectors and the segmenter were trained on: tools/ci_regression.py --make-weights.
    "making": {
        "coco": {"train_images": 400, "val_images": 30, "size": 160},
        "uavdt": {"sequences": ("M0101", "M0201", "M0301", "M0203"), "frames": 15, "height": 288, "width": 512},
        "ade20k": {"train_images": 100, "val_images": 4, "size": 160},
    },
}
SEEDS = {"instant": 0, "inference": 0, "training": 2_000, "making": 1_000}


def world_set(cache: Path, world: str, name: str) -> Path:
    """The folder of one data set of a world, rendered now or found whole in ``cache``.

    :class:`benchmarks.errors.InputError` where its files are no longer those that were written. Other sizes lie in
    other folders, so that an old cache is in nobody's way.
    """
    arguments = WORLDS[world][name]
    size = hashlib.sha256(json.dumps(arguments, sort_keys=True).encode()).hexdigest()[:8]
    return _WRITERS[name](cache / f"{world}-{size}", seed=SEEDS[world], **arguments)


def identity(folder: Path) -> dict[str, Any]:
    """What a stored value's data must agree with: number of files, and the SHA-256 over their names and bytes."""
    return folder_hash(folder)
