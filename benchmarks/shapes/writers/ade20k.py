"""The world as ADE20K's scene parsing benchmark: ``ADEChallengeData2016/{images,annotations}``."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from benchmarks.shapes.classes import OBJECT_CLASSES, STUFF_CLASSES
from benchmarks.shapes.scene import Scene, render_scene
from benchmarks.shapes.writers.files import progress, save_jpeg, save_labels, write_set

_FIRST_INDEX = {"training": 2_000_000, "validation": 3_000_000}
_PREFIX = {"training": "ADE_train", "validation": "ADE_val"}


def ade_labels(scene: Scene) -> np.ndarray:
    """Label map uint8 [H, W]: 1 .. 14 the object and stuff classes, 0 unlabelled (crowds)."""
    labels = scene.semantic + np.uint8(1)
    for number, item in enumerate(scene.objects, start=1):
        if item.is_crowd:
            labels[scene.instances == number] = 0
    return labels


def _write_split(folder: Path, split: str, count: int, size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Write one split; returns, per label 1 .., the pixels with it and the pictures that have it."""
    labels_count = len(OBJECT_CLASSES) + len(STUFF_CLASSES) + 1
    pixels, pictures = np.zeros(labels_count, int), np.zeros(labels_count, int)
    for index in progress(range(count), f"ade20k {split}"):
        shape = ((size * 3 // 4, size), (size, size))[index % 2]
        scene = render_scene(seed, _FIRST_INDEX[split] + index, shape)
        labels = ade_labels(scene)
        name = f"{_PREFIX[split]}_{index + 1:08d}"
        save_jpeg(folder / "images" / split / f"{name}.jpg", scene.image)
        save_labels(folder / "annotations" / split / f"{name}.png", labels)
        histogram = np.bincount(labels.ravel(), minlength=labels_count)
        pixels += histogram
        pictures += histogram > 0
    return pixels[1:], pictures[1:]


def write_ade20k(
    root: str | os.PathLike[str], train_images: int, val_images: int, size: int = 224, seed: int = 0
) -> Path:
    """Write ``root/ade20k/ADEChallengeData2016``; returns ``root/ade20k``.

    Labels are 1 + the semantic label of the scene: 14 of the 150 that the layout allows, 0 is unlabelled.
    Their names are in ``objectInfo150.txt``, in the columns of the real file.
    """

    def fill(folder: Path) -> None:
        data = folder / "ADEChallengeData2016"
        pixels, train = _write_split(data, "training", train_images, size, seed)
        _, val = _write_split(data, "validation", val_images, size, seed)
        rows = zip(OBJECT_CLASSES + STUFF_CLASSES, pixels / max(pixels.sum(), 1), train, val, strict=True)
        lines = [f"{i}\t{ratio:.4f}\t{t}\t{v}\t{name}\n" for i, (name, ratio, t, v) in enumerate(rows, start=1)]
        (data / "objectInfo150.txt").write_text("Idx\tRatio\tTrain\tVal\tName\n" + "".join(lines))

    parameters = {"set": "ade20k", "train_images": train_images, "val_images": val_images, "size": size, "seed": seed}
    return write_set(Path(root) / "ade20k", parameters, fill)
