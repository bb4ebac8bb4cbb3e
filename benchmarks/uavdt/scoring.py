"""The official score of UAVDT: class-agnostic average precision at IoU 0.7 outside of ignored regions.

Follows the toolkit's ``CalculateDetectionPR_overall.m``, ``CalculateDetectionPR_seq.m``, ``evalRes.m``,
``compOas.m`` and ``VOCap.m`` operation by operation, so that even ties come out alike. NumPy only.

Boxes are rows of float64: frame (from 1), left, top, width, height. Nothing is rounded and no pixel is added.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

OFFICIAL_IOU = 0.7

#: Pairs of boxes that are compared at once: bounds the memory at some tens of megabytes.
_PAIRS = 1 << 19


@dataclass(frozen=True)
class Outcome:
    """What matching found in one sequence; detections in the toolkit's order: by frame, then by falling score."""

    found: np.ndarray  # bool [G]: the objects, in file order, that a detection took
    scores: np.ndarray  # float64 [N]
    hits: np.ndarray  # bool [N]: took an object


@dataclass(frozen=True)
class Curve:
    """Precision over recall, one point a detection, by falling score."""

    recall: np.ndarray  # float64 [N]
    precision: np.ndarray  # float64 [N]
    truths: int
    hits: int

    @property
    def ap(self) -> float:
        """Average precision in percent: the area under the curve, made monotone, over all its steps (VOC 2010)."""
        recall = np.concatenate([[0.0], self.recall, [1.0]])
        precision = np.concatenate([[0.0], self.precision, [0.0]])
        envelope = np.maximum.accumulate(precision[::-1])[::-1]
        return 100.0 * float(np.sum(np.diff(recall) * envelope[1:]))

    @property
    def ap_101(self) -> float:
        """COCO's area in percent: the mean of the monotone precision at 101 recalls. Not the official rule."""
        envelope = np.maximum.accumulate(self.precision[::-1])[::-1]
        at = np.searchsorted(self.recall, np.linspace(0, 1, 101))
        return 100.0 * float(np.append(envelope, 0.0)[at].mean())


def outside_ignored(detections: np.ndarray, regions: np.ndarray) -> np.ndarray:
    """bool ``[N]``: which detections no region of the same frame holds strictly inside on all four sides.

    A detection that touches an edge, or that only two regions together cover, stays.
    """
    left, top, right, bottom = _corners(detections)
    region_left, region_top, region_right, region_bottom = _corners(regions)
    keep = np.ones(len(detections), bool)
    for d, r in _same_frame(detections[:, 0], regions[:, 0]):
        inside = (left[d] > region_left[r]) & (top[d] > region_top[r])
        inside &= (right[d] < region_right[r]) & (bottom[d] < region_bottom[r])
        keep[d[inside]] = False
    return keep


def within(detections: np.ndarray, regions: np.ndarray, share: float) -> np.ndarray:
    """bool ``[N]``: which detections some region of the same frame holds by ``share`` of their own area or more."""
    left, top, right, bottom = _corners(detections)
    region_left, region_top, region_right, region_bottom = _corners(regions)
    area, held = detections[:, 3] * detections[:, 4], np.zeros(len(detections), bool)
    for d, r in _same_frame(detections[:, 0], regions[:, 0]):
        width = np.minimum(right[d], region_right[r]) - np.maximum(left[d], region_left[r])
        height = np.minimum(bottom[d], region_bottom[r]) - np.maximum(top[d], region_top[r])
        meets = (width > 0) & (height > 0)
        d, shared = d[meets], width[meets] * height[meets]
        held[d[shared / area[d] >= share]] = True
    return held


def match(truth: np.ndarray, detections: np.ndarray, scores: np.ndarray, iou: float = OFFICIAL_IOU) -> Outcome:
    """Match detections ``[N, 5]`` of one sequence to objects ``[G, 5]``.

    In every frame, by falling score (equal scores in file order), a detection takes the free object that it
    overlaps most (equal overlaps: the later one), if the overlap reaches ``iou``.
    """
    order = np.lexsort((-scores, detections[:, 0]))
    detections, scores = detections[order], scores[order]
    hits, found = np.zeros(len(detections), bool), np.zeros(len(truth), bool)
    d, g, overlap = _overlapping(detections, truth, iou)
    if len(d):
        # The last free entry of a detection's group is its best: overlaps rise within it, then object numbers.
        order = np.lexsort((g, overlap, d))
        d, g = d[order], g[order]
        # Frames do not touch each other, so all frames' first candidates go at once, then all second ones, ...
        for turn in _turns(d, detections[:, 0]):
            turn = turn[~found[g[turn]]]
            best = turn[np.diff(d[turn], append=-1) != 0]
            found[g[best]] = True
            hits[d[best]] = True
    return Outcome(found, scores, hits)


def precision_recall(outcomes: Sequence[Outcome]) -> Curve:
    """The curve of sequences pooled in the given order; equal scores keep that order."""
    scores = np.concatenate([outcome.scores for outcome in outcomes])
    hits = np.concatenate([outcome.hits for outcome in outcomes])
    tp = np.cumsum(hits[np.argsort(-scores, kind="stable")])
    truths = sum(len(outcome.found) for outcome in outcomes)
    return Curve(tp / max(1, truths), tp / np.arange(1, len(tp) + 1), truths, int(hits.sum()))


def _corners(boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    left, top, width, height = boxes[:, 1:5].T
    return left, top, left + width, top + height


def _same_frame(frames: np.ndarray, others: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """All pairs (i, j) with ``frames[i] == others[j]``, in blocks."""
    order = np.argsort(others, kind="stable")
    ordered = others[order]
    return _pairs(np.searchsorted(ordered, frames, "left"), np.searchsorted(ordered, frames, "right"), order)


def _near(a: np.ndarray, b: np.ndarray, iou: float) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The pairs of boxes in the same frame whose left edges do not rule out an overlap of ``iou``, in blocks.

    Widths of such a pair differ by a factor of 1 / iou at most, and iou times either width is shared; so the other box
    begins between ``left - (1 / iou - iou) * width`` and ``left + (1 - iou) * width``.
    """
    left, width = a[:, 1], a[:, 3]
    low, high = left - (1 / iou - iou) * width, left + (1 - iou) * width
    # One number line for all frames, each with a span of its own; the slack makes up for its rounding.
    span = 2 * max(float(np.abs(edge).max(initial=1)) for edge in (low, high, b[:, 1])) + 1
    slack = span * max(1e-9, 1e-15 * float(a[:, 0].max(initial=0)))
    place = span * b[:, 0] + b[:, 1]
    order = np.argsort(place)
    place, start = place[order], span * a[:, 0]
    return _pairs(np.searchsorted(place, start + low - slack), np.searchsorted(place, start + high + slack), order)


def _pairs(first: np.ndarray, last: np.ndarray, order: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """All pairs (i, j) with j in ``order[first[i] : last[i]]``, in blocks of about :data:`_PAIRS`."""
    counts = np.maximum(last - first, 0)
    ends = np.cumsum(counts)
    start = 0
    while start < len(counts):
        # At least one i a block, however many partners it has.
        before = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + _PAIRS, "right")))
        count = counts[start:stop]
        i = np.repeat(np.arange(start, stop), count)
        within = np.arange(len(i)) - np.repeat(ends[start:stop] - count - before, count)
        yield i, order[np.repeat(first[start:stop], count) + within]
        start = stop


def _overlapping(a: np.ndarray, b: np.ndarray, iou: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of boxes in the same frame that overlap by ``iou`` or more: indices into a and b, and the IoU."""
    a_left, a_top, a_right, a_bottom = _corners(a)
    b_left, b_top, b_right, b_bottom = _corners(b)
    a_area, b_area = a[:, 3] * a[:, 4], b[:, 3] * b[:, 4]
    found = [(np.empty(0, int), np.empty(0, int), np.empty(0))]
    for i, j in _near(a, b, iou):
        width = np.minimum(a_right[i], b_right[j]) - np.maximum(a_left[i], b_left[j])
        height = np.minimum(a_bottom[i], b_bottom[j]) - np.maximum(a_top[i], b_top[j])
        meets = (width > 0) & (height > 0)
        i, j, shared = i[meets], j[meets], width[meets] * height[meets]
        overlap = shared / (a_area[i] + b_area[j] - shared)
        enough = overlap >= iou
        found.append((i[enough], j[enough], overlap[enough]))
    i, j, overlap = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return i, j, overlap


def _turns(d: np.ndarray, frames: np.ndarray) -> Iterator[np.ndarray]:
    """Split pairs into rounds: the k-th holds those of every frame's k-th detection that has a pair.

    ``d`` is sorted, and so are ``frames[d]``.
    """
    new = np.diff(d, prepend=-1) != 0
    number = np.cumsum(new) - 1  # of the detection, among those with a pair
    frame = frames[d]
    opens = np.diff(frame, prepend=-1) != 0
    turn = number - number[opens][np.cumsum(opens) - 1]
    order = np.argsort(turn, kind="stable")
    yield from np.split(order, np.flatnonzero(np.diff(turn[order])) + 1)
