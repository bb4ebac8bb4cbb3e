"""The world as segmentation data of one's own: ``segmentation/{images,masks}/{train,val}`` and ``classes.txt``."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from benchmarks.shapes.classes import OBJECT_CLASSES, STUFF_CLASSES
from benchmarks.shapes.scene import render_scene
from benchmarks.shapes.writers.ade20k import ade_labels
from benchmarks.shapes.writers.files import progress, save_jpeg, save_labels, write_set

#: Pictures that no other set of the world has.
_FIRST_INDEX = {"train": 4_000_000, "val": 5_000_000}


def write_segmentation(
    root: str | os.PathLike[str], train_images: int, val_images: int, size: int = 160, seed: int = 0
) -> Path:
    """Write ``root/segmentation``; returns the folder. Labels are 0..13, and 255 (void) where crowds are."""

    def fill(folder: Path) -> None:
        for split, count in (("train", train_images), ("val", val_images)):
            for index in progress(range(count), f"segmentation {split}"):
                shape = ((size * 3 // 4, size), (size, size))[index % 2]
                scene = render_scene(seed, _FIRST_INDEX[split] + index, shape)
                save_jpeg(folder / "images" / split / f"{index + 1:06d}.jpg", scene.image)
                # ADE20K's labels count from 1 and 0 is unlabelled: less one, in 8 bits, that is 255.
                save_labels(folder / "masks" / split / f"{index + 1:06d}.png", ade_labels(scene) - np.uint8(1))
        (folder / "classes.txt").write_text("\n".join(OBJECT_CLASSES + STUFF_CLASSES) + "\n", encoding="utf-8")

    parameters = {
        "set": "segmentation", "train_images": train_images, "val_images": val_images, "size": size, "seed": seed,
    }  # fmt: skip
    return write_set(Path(root) / "segmentation", parameters, fill)
