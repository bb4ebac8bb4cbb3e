"""All data sets of the world at once, at two sizes."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.errors import InputError
from benchmarks.shapes.writers.ade20k import write_ade20k
from benchmarks.shapes.writers.coco import write_coco
from benchmarks.shapes.writers.davis import write_davis
from benchmarks.shapes.writers.imagenet import write_imagenet
from benchmarks.shapes.writers.uavdt import write_uavdt
from benchmarks.shapes.writers.visdrone import write_visdrone

_WRITERS: dict[str, Callable[..., Path]] = {
    "coco": write_coco,
    "davis": write_davis,
    "imagenet": write_imagenet,
    "uavdt": write_uavdt,
    "visdrone": write_visdrone,
    "ade20k": write_ade20k,
}

#: Scale -> set -> arguments of its writer. ``tiny`` is for tests, ``demo`` for the demo and the controls.
WORLD_SCALES: dict[str, dict[str, dict[str, Any]]] = {
    "tiny": {
        "coco": {"train_images": 16, "val_images": 8, "size": 128},
        "davis": {"train_sequences": 1, "val_sequences": 2, "frames": 6, "height": 96, "width": 160},
        "imagenet": {"train_per_class": 4, "val_per_class": 2},
        "uavdt": {"sequences": ("M0101", "M0203", "M0208"), "frames": 4, "height": 144, "width": 256},
        "visdrone": {"train_clips": 1, "val_clips": 1, "frames": 3, "height": 144, "width": 256},
        "ade20k": {"train_images": 8, "val_images": 4, "size": 128},
    },
    "demo": {
        "coco": {"train_images": 400, "val_images": 60, "size": 224},
        "davis": {"train_sequences": 2, "val_sequences": 4, "frames": 24, "height": 192, "width": 320},
        "imagenet": {"train_per_class": 40, "val_per_class": 15},
        "uavdt": {"frames": 30, "height": 288, "width": 512},
        "visdrone": {"train_clips": 12, "val_clips": 6, "frames": 8, "height": 288, "width": 512},
        "ade20k": {"train_images": 200, "val_images": 50, "size": 224},
    },
}


def write_world(
    root: str | os.PathLike[str], scale: str = "demo", seed: int = 0, sets: Sequence[str] = tuple(_WRITERS)
) -> dict[str, Path]:
    """Write the named data sets, or all, under ``root`` in its real layout, or reuse those that are there.

    Returns the folder of each set by name. The same scale and seed give the same bytes.
    """
    if scale not in WORLD_SCALES:
        raise InputError(f"the shapes world has no scale {scale!r}: choose one of {', '.join(WORLD_SCALES)}")
    if seed < 0:
        raise InputError(f"the seed of the shapes world is {seed}: give a number from 0 on")
    return {name: _WRITERS[name](root, seed=seed, **WORLD_SCALES[scale][name]) for name in sets}
