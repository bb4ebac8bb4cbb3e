"""The official score of VisDrone-DET: average precision and recall over ten classes and ten thresholds.

Follows the toolkit's ``dropObjectsInIgr.m``, ``calcAccuracy.m``, ``evalRes.m``, ``compOas.m`` and ``VOCap.m``, with
what is unusual in them: a class counts in the mean once for *every picture* that shows it; the 1, 10, 100 and 500
detections of a picture are the first rows of its file, over all classes; objects of score 0 count as missed; half of a
box, rounded to pixels, inside ignored regions takes it out. NumPy only; matching is UAVDT's, the same ``evalRes.m``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.uavdt.scoring import Curve, match, within
from benchmarks.visdrone.rows import BOX, CATEGORY, CLASSES, REGION, SCORE

#: 0.5:0.05:0.95 in MATLAB's own arithmetic: from both ends to the middle.
IOUS = tuple([0.5 + 0.05 * step for step in range(5)] + [0.95 - 0.05 * step for step in range(4, -1, -1)])
MOST_DETECTIONS = (1, 10, 100, 500)


@dataclass(frozen=True)
class Picture:
    """Ground truth and detections of one picture outside its ignored regions, rows as :mod:`.rows` has them."""

    truth: np.ndarray  # float64 [G, >= 8]
    detections: np.ndarray  # float64 [N, >= 6], in file order


def outside_ignored(truth: np.ndarray, detections: np.ndarray, size: tuple[int, int]) -> Picture:
    """What remains of a picture of ``size`` (height, width): no region, and no box with half its pixels in regions."""
    regions = truth[truth[:, CATEGORY] == REGION]
    objects = truth[truth[:, CATEGORY] != REGION]
    if not len(regions):
        return Picture(objects, detections)
    height, width = size
    inside = np.zeros((height, width), bool)
    for left, top, across, down in np.maximum(1, regions[:, BOX]).astype(int):
        inside[top - 1 : top + down, left - 1 : left + across] = True
    sums = inside.cumsum(axis=0).cumsum(axis=1)

    def remains(boxes: np.ndarray) -> np.ndarray:
        # MATLAB rounds halves away from zero; what is below 1 counts as 1.
        left, top, across, down = np.maximum(1, np.floor(boxes[:, BOX] + 0.5)).T
        x, y = np.minimum(left, width), np.minimum(top, height)
        right, bottom = np.minimum(x + across, width), np.minimum(y + down, height)
        x0, y0, x1, y1 = (edge.astype(int) - 1 for edge in (x, y, right, bottom))
        shared = sums[y0, x0] + sums[y1, x1] - sums[y0, x1] - sums[y1, x0]
        return shared / (down * across) < 0.5

    return Picture(objects[remains(objects)], detections[remains(detections)])


def score(pictures: Sequence[Picture]) -> dict[str, Any]:
    """The seven official numbers in percent, not rounded; NaN where no picture has an object of a class.

    Also, for each class that has objects: its ``AP``, ``AP50``, ``objects`` and ``pictures``, the weight it has in
    the means; and ``class_mean_AP``, in which every class counts once: not official, and what COCO's rule would do.
    """
    precision = np.zeros((len(CLASSES), len(IOUS)))
    recall = np.zeros((len(CLASSES), len(IOUS), len(MOST_DETECTIONS)))
    truth = _pooled([picture.truth for picture in pictures])
    objects = np.array([np.count_nonzero(truth[:, 1] == number) for number in range(1, len(CLASSES) + 1)])
    shown = np.array(
        [sum(bool((p.truth[:, CATEGORY] == number).any()) for p in pictures) for number in range(1, len(CLASSES) + 1)]
    )
    for last, most in enumerate(MOST_DETECTIONS):
        detections = _pooled([picture.detections[:most] for picture in pictures])
        for index in range(len(CLASSES)):
            of_class = truth[truth[:, 1] == index + 1], detections[detections[:, 1] == index + 1]
            for step, iou in enumerate(IOUS):
                curve = _curve(*of_class, iou)
                recall[index, step, last] = 100 * curve.recall.max(initial=0.0)
                if most == MOST_DETECTIONS[-1]:
                    precision[index, step] = curve.ap
    there = np.flatnonzero(shown)
    found = {
        "AP": _mean(precision, shown),
        "AP50": _mean(precision[:, :1], shown),
        "AP75": _mean(precision[:, 5:6], shown),
        **{f"AR{most}": _mean(recall[:, :, last], shown) for last, most in enumerate(MOST_DETECTIONS)},
        "class_mean_AP": float(precision[there].mean()) if len(there) else float("nan"),
    }
    found["per_class"] = {
        CLASSES[index]: {
            "AP": float(precision[index].mean()),
            "AP50": float(precision[index, 0]),
            "objects": int(objects[index]),
            "pictures": int(shown[index]),
        }
        for index in there
    }
    return found


def _pooled(rows: Sequence[np.ndarray]) -> np.ndarray:
    """Rows of all pictures: picture from 1, category, left, top, width, height, score; float64 ``[N, 7]``."""
    number = np.repeat(np.arange(1, len(rows) + 1), [len(some) for some in rows])
    parts = [np.concatenate([some[:, CATEGORY, None], some[:, BOX], some[:, SCORE, None]], axis=1) for some in rows]
    return np.concatenate([number[:, None], np.concatenate([np.empty((0, 6)), *parts])], axis=1)


def _curve(truth: np.ndarray, detections: np.ndarray, iou: float) -> Curve:
    """Precision over recall of one class at one threshold."""
    counts = truth[:, 6] == 1
    boxes, harmless = truth[:, [0, 2, 3, 4, 5]], truth[~counts][:, [0, 2, 3, 4, 5]]
    # By picture, then by falling score: the order in which `match` answers.
    detections = detections[np.lexsort((-detections[:, 6], detections[:, 0]))]
    found = detections[:, [0, 2, 3, 4, 5]]
    hits = match(boxes[counts], found, detections[:, 6], iou).hits
    # A detection that took no object, but has `iou` of its area inside one of score 0, is neither right nor wrong.
    kept = hits | ~within(found, harmless, iou)
    order = np.argsort(-detections[kept, 6], kind="stable")
    tp = np.cumsum(hits[kept][order])
    return Curve(tp / max(1, len(truth)), tp / np.arange(1, len(tp) + 1), len(truth), int(hits.sum()))


def _mean(values: np.ndarray, weights: np.ndarray) -> float:
    """The mean over classes, each as often as pictures show it, and over the other axis."""
    if not weights.any():
        return float("nan")
    return float((values.mean(axis=1) * weights).sum() / weights.sum())
