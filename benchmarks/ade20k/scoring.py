"""mIoU, mean accuracy and pixel accuracy from label maps on disk."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.ade20k.dataset import Ade20kRoot
from benchmarks.errors import InputError
from benchmarks.images import read_labels
from benchmarks.listing import by_stem, list_files


def count(truth: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Pixels hit, there and said of each class, int64 ``[3, C]``; labels 1..C, unlabelled (0) left out."""
    inside = truth > 0
    there, said = truth[inside].astype(np.int64) - 1, predicted[inside].astype(np.int64) - 1
    return np.stack([np.bincount(labels, minlength=classes) for labels in (there[there == said], there, said)])


def scores(counts: np.ndarray, names: tuple[str, ...]) -> dict[str, Any]:
    """``mIoU``, ``mAcc``, ``aAcc`` and both per class, in percent, from :func:`count` summed over images.

    A class that is neither there nor predicted has no IoU, one that is not there no accuracy: None, and no part of the
    mean, as in mmseg.
    """
    hit, there, said = counts
    union = there + said - hit
    iou = [100.0 * h / u if u else None for h, u in zip(hit.tolist(), union.tolist(), strict=True)]
    accuracy = [100.0 * h / t if t else None for h, t in zip(hit.tolist(), there.tolist(), strict=True)]
    return {
        "mIoU": _mean(iou),
        "mAcc": _mean(accuracy),
        "aAcc": 100.0 * float(hit.sum()) / float(there.sum()) if there.sum() else None,
        "per_class": {name: {"IoU": i, "Acc": a} for name, i, a in zip(names, iou, accuracy, strict=True)},
    }


def count_folder(data: Ade20kRoot, predictions: str | os.PathLike[str], split: str = "validation") -> np.ndarray:
    """:func:`count` of ``predictions/STEM.png`` for each image of a split: int64 ``[images, 3, C]``.

    Predictions count labels as the data's own label maps do. :class:`InputError` for one that is missing, broken, of
    another size or with other labels.
    """
    classes, counted, folder = len(data.classes), [], Path(predictions)
    there = by_stem(folder, list_files(folder, {".png"}, deep=False))
    for stem in data.stems[split]:
        truth = data.truth(split, stem)
        if stem not in there:
            raise InputError(f"prediction {folder / stem}.png is missing: run the prediction again")
        file = there[stem]
        found = read_labels(file).astype(np.int64) + 1 - data.first_label
        if found.shape != truth.shape:
            raise InputError(
                f"{file} is {found.shape[1]}x{found.shape[0]}, its truth {truth.shape[1]}x{truth.shape[0]}"
            )
        if not 1 <= found.min() <= found.max() <= classes:
            own = found.min() - 1 + data.first_label, found.max() - 1 + data.first_label
            expected = f"{data.first_label}..{classes - 1 + data.first_label}"
            raise InputError(f"{file} has labels {own[0]}..{own[1]}: predictions are {expected}")
        counted.append(count(truth, found, classes))
    return np.stack(counted)


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
