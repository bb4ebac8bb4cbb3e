"""mIoU and pixel accuracy from predicted label maps, by each protocol's own rule for what has no pixel.

The counting and the plain rule are :mod:`benchmarks.ade20k.scoring`'s. What protocols do otherwise:

- CAPI scores with scikit-learn's macro Jaccard index over every label that was said or is there, so a void label that
  is predicted counts as one more class with an IoU of 0.
- open-hummingbird and NeCo divide by all classes: one that is neither there nor said counts with an IoU of 0.
- open-hummingbird first assigns predicted to true classes by the Hungarian method, as for clusters without names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.ade20k.intervals import resampled
from benchmarks.ade20k.scoring import count, scores
from benchmarks.core import bootstrap
from benchmarks.segmentation.faults import VOID


@dataclass
class Score:
    """Counts of a validation set, image by image. Labels 0..C-1; predictions may be void, which is never right."""

    classes: tuple[str, ...]
    per_image: list[np.ndarray] = field(default_factory=list)  # pixels hit, there and said, int64 [3, C + 1]
    pairs: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)  # places in the confusion, and pixels
    confusion: np.ndarray = field(init=False)  # int64 [C, C + 1]: truth by prediction, the last said void

    def __post_init__(self) -> None:
        self.confusion = np.zeros((len(self.classes), len(self.classes) + 1), np.int64)

    def add(self, truth: np.ndarray, predicted: np.ndarray) -> None:
        """One image: label maps of one shape."""
        c = len(self.classes)
        said = np.where(predicted == VOID, c, predicted).astype(np.int64)
        there = np.where(truth == VOID, -1, truth.astype(np.int64))
        self.per_image.append(count(there + 1, said + 1, c + 1))
        inside = there >= 0
        pairs = np.bincount(there[inside] * (c + 1) + said[inside], minlength=c * (c + 1))
        self.confusion += pairs.reshape(c, c + 1)
        self.pairs.append((there_are := np.flatnonzero(pairs), pairs[there_are]))

    def result(self, absent: str = "out", void: str = "out", matching: str = "none") -> dict[str, Any]:
        """``metrics``, ``interval`` and ``run`` (facts of the scoring) in percent.

        ``absent``: classes neither there nor said are ``out`` of the mean or count ``zero``. ``void``: predicting it
        counts for ``out`` nothing (the pixel is missed all the same) or makes it a ``class``. ``matching``: ``none`` or
        ``hungarian``.
        """
        counts, moved = np.stack(self.per_image), []
        if matching == "hungarian":
            matched = self._matched()
            moved = [[int(i), int(p)] for i, p in enumerate(matched) if i != p]
            counts = self._counted(matched) if moved else counts
        total = counts.sum(axis=0)
        plain = scores(total[:, :-1], self.classes)
        own = _mean_iou(total[None].astype(np.float64), absent, void)
        metrics = {"mIoU": float(100 * own[0]) if np.isfinite(own[0]) else None, "mAcc": plain["mAcc"]}
        metrics |= {"aAcc": plain["aAcc"], "per_class": plain["per_class"]}

        def score(drawn: np.ndarray) -> Mapping[str, np.ndarray]:
            summed = np.tensordot(drawn.astype(np.float64), counts.astype(np.float64), axes=1)
            again = resampled(counts[:, :, :-1], drawn)
            return {"mIoU": 100 * _mean_iou(summed, absent, void), "mAcc": again["mAcc"], "aAcc": again["aAcc"]}

        interval = bootstrap.interval("images", len(counts), score)
        return {"metrics": metrics, "interval": interval, "run": {"matching_changed": moved} if moved else {}}

    def _matched(self) -> np.ndarray:
        """For each true class the predicted one that the Hungarian method gives it, by IoU."""
        from scipy.optimize import linear_sum_assignment

        square = self.confusion[:, :-1].astype(np.float64)
        union = square.sum(1, keepdims=True) + square.sum(0, keepdims=True) - square
        return linear_sum_assignment(1.0 - square / union.clip(1e-8))[1]

    def _counted(self, matched: np.ndarray) -> np.ndarray:
        """Each image's counts ``[images, 3, C + 1]`` when the prediction ``matched[i]`` means class i."""
        c = len(self.classes)
        places = np.arange(c) * (c + 1) + matched
        found = []
        for counts, (index, pixels) in zip(self.per_image, self.pairs, strict=True):
            hit = np.zeros(c + 1, np.int64)
            hit[:c] = [int(pixels[index == place].sum()) for place in places]
            found.append(np.stack([hit, counts[1], np.append(counts[2][matched], counts[2][c])]))
        return np.stack(found)


def _mean_iou(counts: np.ndarray, absent: str, void: str) -> np.ndarray:
    """Mean IoU ``[R]`` from hit, there and said of each class, and of void last: ``[R, 3, C + 1]``."""
    hit, there, said = np.moveaxis(counts, 1, 0)
    union = there + said - hit
    if void == "out":
        hit, union = hit[:, :-1], union[:, :-1]
    with np.errstate(invalid="ignore", divide="ignore"):
        iou = hit / union
    if absent == "zero":
        # A void that was never said is no class, also here.
        iou = np.nan_to_num(iou, nan=0.0)
    known = np.isfinite(iou)
    with np.errstate(invalid="ignore"):
        return np.where(known, iou, 0.0).sum(1) / known.sum(1)


def by_class(metrics: Mapping[str, Any]) -> Sequence[tuple[str, float | None]]:
    """(class, IoU in percent), the best first, those without a score last."""
    rows = [(name, values["IoU"]) for name, values in metrics["per_class"].items()]
    return sorted(rows, key=lambda row: (row[1] is None, -(row[1] or 0.0)))
