"""COCO's average precisions with their bootstrap over images, from one matching: only the curves are drawn again.

A resample that holds an image w times is that image's matches with weight w, so one sorted list of detections does for
all resamples. Weights of all resamples lie side by side, ``[images, R]``: a detection adds one row to running sums.
With weights of 1 the result is :func:`benchmarks.coco.scoring.score`'s.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools.cocoeval import COCOeval, Params

from benchmarks.coco.scoring import score
from benchmarks.core import bootstrap

#: COCO's ten IoU thresholds, 101 recalls and four ranges of sizes, the same for boxes and masks.
STANDARD = Params("bbox")
#: Running sums that are held at a time, hits (or objects, if they are more) times resamples.
BLOCK = 1 << 22


@dataclass(frozen=True)
class Matches:
    """What matching found for one category and range of sizes: images as places in COCO's order, scores falling.

    Detections that are ignored at every threshold, or come after the last hit, are left out: they change nothing.
    """

    detections: np.ndarray  # int [N]: the image of each
    hit: np.ndarray  # bool [T, N]: matched to an object that counts
    counts: np.ndarray  # bool [T, N]: a hit or a false positive; the rest is ignored
    truths: np.ndarray  # int [G], G > 0: the image of each object that counts


def score_with_interval(
    annotations: str | os.PathLike[str],
    detections: list[dict[str, Any]],
    boxes_by: str = "pycocotools",
    resamples: int = bootstrap.RESAMPLES,
) -> dict[str, Any]:
    """A record's ``metrics``, which are :func:`benchmarks.coco.scoring.score`'s, and their ``interval``, in percent."""
    found: dict[str, list[list[Matches]]] = {}
    images = 0

    def keep(evaluation: COCOeval) -> None:
        nonlocal images
        images = len(evaluation.params.imgIds)
        found[evaluation.params.iouType] = matches(evaluation)

    metrics = score(annotations, detections, boxes_by, keep)
    interval = bootstrap.interval("images", images, lambda drawn: resampled(found, drawn), resamples)
    return {"metrics": metrics, "interval": interval}


def resampled(found: Mapping[str, list[list[Matches]]], drawn: np.ndarray) -> dict[str, np.ndarray]:
    """Six numbers in percent for each kind in ``found``, each ``[R]``, for images drawn ``[R, images]`` times each.

    NaN where there is no score.
    """
    weights = np.ascontiguousarray(drawn.T, np.int32)
    values = {}
    for kind, by_size in found.items():
        for label, categories in zip(STANDARD.areaRngLbl, by_size, strict=True):
            precision = _precision(categories, weights)
            values[f"{kind}/AP{'' if label == 'all' else label[0]}"] = precision.mean(axis=0)
            if label == "all":
                for percent in (50, 75):
                    values[f"{kind}/AP{percent}"] = precision[np.isclose(STANDARD.iouThrs, percent / 100)][0]
    return values


def matches(evaluation: COCOeval) -> list[list[Matches]]:
    """What pycocotools matched, by range of sizes, then by category; of a range, those categories that have objects."""
    images, sizes = len(evaluation.params.imgIds), len(evaluation.params.areaRng)
    found: list[list[Matches]] = [[] for _ in range(sizes)]
    for first in range(0, len(evaluation.evalImgs), sizes * images):
        # An image has an entry in all ranges of a category or in none, and the same detections in all.
        held = [i for i in range(images) if evaluation.evalImgs[first + i] is not None]
        if not held:
            continue
        by_size = [[evaluation.evalImgs[first + size * images + i] for i in held] for size in range(sizes)]
        scores = [entry["dtScores"] for entry in by_size[0]]
        order = np.argsort(-np.concatenate(scores), kind="mergesort")
        detections = np.repeat(held, [len(each) for each in scores])[order]
        for categories, entries in zip(found, by_size, strict=True):
            truths = np.repeat(held, [len(entry["gtIgnore"]) for entry in entries])
            truths = truths[np.concatenate([entry["gtIgnore"] for entry in entries]) == 0]
            if not len(truths):
                continue
            counts = ~np.concatenate([entry["dtIgnore"] for entry in entries], axis=1)[:, order].astype(bool)
            hit = counts & (np.concatenate([entry["dtMatches"] for entry in entries], axis=1)[:, order] != 0)
            before_a_hit = np.logical_or.accumulate(hit.any(axis=0)[::-1])[::-1]
            kept = counts.any(axis=0) & before_a_hit
            categories.append(Matches(detections[kept], hit[:, kept], counts[:, kept], truths))
    return found


def _precision(categories: list[Matches], weights: np.ndarray) -> np.ndarray:
    """Average precision in percent, mean over the categories that a resample has objects of: ``[T, R]``."""
    resamples = weights.shape[1]
    total, counted = np.zeros((len(STANDARD.iouThrs), resamples)), np.zeros(resamples)
    for one in categories:
        step = max(1, BLOCK // max(len(one.truths), np.count_nonzero(one.hit.any(axis=0))))
        for block in (slice(start, start + step) for start in range(0, resamples, step)):
            truths = weights[one.truths, block].sum(axis=0, dtype=np.int32)
            total[:, block] += _average(one, weights[:, block], truths)
            counted[block] += truths > 0
    with np.errstate(invalid="ignore"):
        return 100 * total / counted


def _average(one: Matches, weights: np.ndarray, truths: np.ndarray) -> np.ndarray:
    """Average precision ``[T, R]`` of a category: the mean over 101 recalls of the monotone precision; 0 without truth.

    Only at hits does recall rise, so only there is the curve looked at. What counts at every threshold is summed up
    once, and for each threshold the few detections that count there are added.
    """
    found = np.zeros((len(one.hit), len(truths)))
    always, hits = np.all(one.counts, axis=0), np.flatnonzero(one.hit.any(axis=0))
    said_always = _sums(weights, one.detections, always, hits)
    place, recalls = _recalls(truths)
    for average, hit, counts in zip(found, one.hit, one.counts, strict=True):
        at = np.flatnonzero(hit)
        tp = _sums(weights, one.detections, hit, at)
        said = said_always[np.searchsorted(hits, at)]
        if (sometimes := counts & ~always).any():
            said += _sums(weights, one.detections, sometimes, at)
        precision = tp / (said + np.spacing(1))
        gained = np.diff(recalls[tp + place], axis=0, prepend=0)
        best = np.zeros(len(truths))
        for here, share in zip(precision[::-1], gained[::-1], strict=True):
            np.maximum(best, here, out=best)
            average += best * share
    return found / len(STANDARD.recThrs)


def _sums(weights: np.ndarray, detections: np.ndarray, which: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Of the detections ``which`` (bool), how many there are up to each place ``at``, by resample: int32 ``[at, R]``.

    Row by row: ``np.cumsum`` along the first axis takes ten times as long.
    """
    sums, total = np.empty((len(at), weights.shape[1]), np.int32), np.zeros(weights.shape[1], np.int32)
    images, start = detections[which].tolist(), 0
    for row, end in zip(sums, np.cumsum(which)[at].tolist(), strict=True):
        for image in images[start:end]:
            total += weights[image]
        row[:], start = total, end
    return sums


def _recalls(truths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many of the 101 recalls are reached by so many hits of ``truths [R]``: the entry at hits + place ``[R]``.

    A table, because resamples have few different numbers of objects.
    """
    distinct, which = np.unique(truths, return_inverse=True)
    width = int(distinct[-1]) + 1
    shares = np.arange(width) / np.maximum(distinct, 1)[:, None]
    return which * width, np.searchsorted(STANDARD.recThrs, shares, side="right").ravel().astype(float)
