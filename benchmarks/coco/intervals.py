"""Bootstrap of COCO's average precision over images: pycocotools matches once, and only the curves are drawn again.

A resample that holds an image w times is that image's matches with weight w, so one sorted list of detections does for
all resamples. With weights of 1 the result is :func:`benchmarks.coco.scoring.score`'s.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from benchmarks.tables import bootstrap

#: Weights that are held at a time, resamples times detections of a category.
BLOCK = 1 << 23


@dataclass(frozen=True)
class Matches:
    """What matching found for one category and range of sizes; detections by falling score, images in COCO's order."""

    detection_image: np.ndarray  # int [N]
    hit: np.ndarray  # bool [T, N]: matched to an object that counts
    counts: np.ndarray  # bool [T, N]: a hit or a false positive; the rest is ignored
    truths: np.ndarray  # int [images]: objects that count


def interval(
    annotations: str | os.PathLike[str], detections: list[dict[str, Any]], resamples: int = bootstrap.RESAMPLES
) -> dict[str, Any]:
    """A record's ``interval`` for ``bbox/AP`` ... ``segm/APl``, in percent."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(annotations))
    images = len(truth.getImgIds())
    return bootstrap.interval("images", images, lambda drawn: resampled(truth, detections, drawn), resamples)


def resampled(truth: COCO, detections: list[dict[str, Any]], drawn: np.ndarray) -> dict[str, np.ndarray]:
    """The twelve numbers in percent, each ``[R]``, for images drawn ``[R, images]`` times each; NaN for no score."""
    found = {}
    for kind in ("bbox", "segm"):
        evaluation = _matched(truth, detections, kind)
        if evaluation is None:
            continue
        for area, label in enumerate(evaluation.params.areaRngLbl):
            precision = _precisions(evaluation, area, drawn)  # [R, T]
            found[f"{kind}/AP{'' if label == 'all' else label[0]}"] = precision.mean(axis=1)
            if label == "all":
                for percent in (50, 75):
                    at = np.isclose(evaluation.params.iouThrs, percent / 100)
                    found[f"{kind}/AP{percent}"] = precision[:, at].mean(axis=1)
    return found


def _matched(truth: COCO, detections: list[dict[str, Any]], kind: str) -> COCOeval | None:
    """pycocotools after its matching, with 100 detections an image; None where there is no detection."""
    results = detections
    if kind == "segm":  # areas come from the masks
        results = [{k: v for k, v in d.items() if k != "bbox"} for d in detections if "segmentation" in d]
    else:
        results = [{k: v for k, v in d.items() if k != "segmentation"} for d in detections]
    if not results:
        return None
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(truth, truth.loadRes(results), kind)
        evaluation.params.maxDets = [100]
        evaluation.evaluate()
    return evaluation


def _precisions(evaluation: COCOeval, area: int, drawn: np.ndarray) -> np.ndarray:
    """The mean over categories of the average precision in percent, at each IoU threshold: ``[R, T]``."""
    total = np.zeros((len(drawn), len(evaluation.params.iouThrs)))
    categories = np.zeros(len(drawn))
    few = drawn.astype(np.int16)  # no image is drawn as often as would not fit, and memory is what takes the time
    for matches in _by_category(evaluation, area):
        for start in range(0, len(drawn), step := max(1, BLOCK // max(1, len(matches.detection_image)))):
            block = slice(start, start + step)
            truths = drawn[block] @ matches.truths
            total[block] += _average(matches, few[block], truths, evaluation.params.recThrs)
            categories[block] += truths > 0
    with np.errstate(invalid="ignore"):
        return 100 * total / categories[:, None]


def _by_category(evaluation: COCOeval, area: int) -> Iterator[Matches]:
    images, areas = len(evaluation.params.imgIds), len(evaluation.params.areaRng)
    for category in range(len(evaluation.params.catIds)):
        first = (category * areas + area) * images
        entries = [(i, e) for i, e in enumerate(evaluation.evalImgs[first : first + images]) if e is not None]
        truths = np.zeros(images, np.int64)
        for index, entry in entries:
            truths[index] = np.count_nonzero(np.asarray(entry["gtIgnore"]) == 0)
        if not truths.any():
            continue
        scores = np.concatenate([entry["dtScores"] for _, entry in entries])
        order = np.argsort(-scores, kind="mergesort")
        image = np.concatenate([np.full(len(entry["dtScores"]), index) for index, entry in entries])[order]
        matched = np.concatenate([entry["dtMatches"] for _, entry in entries], axis=1)[:, order] > 0
        ignored = np.concatenate([entry["dtIgnore"] for _, entry in entries], axis=1)[:, order].astype(bool)
        ever = ~ignored.all(axis=0)
        matched, ignored = matched[:, ever], ignored[:, ever]
        yield Matches(image[ever].astype(np.int64), matched & ~ignored, ~ignored, truths)


def _average(matches: Matches, drawn: np.ndarray, truths: np.ndarray, recalls: np.ndarray) -> np.ndarray:
    """Average precision ``[R, T]`` of a category: the mean over ``recalls`` of the monotone precision; 0 without truth.

    Only at hits does recall rise, so only there is the curve looked at. What counts hardly differs between thresholds,
    so it is summed up once, and for each threshold corrected by the few detections that differ.
    """
    weight = np.take(drawn, matches.detection_image, axis=1)
    base = matches.counts[0]
    said_base = np.cumsum(weight if base.all() else weight * base, axis=1, dtype=np.int32)
    found = np.zeros((len(drawn), len(matches.hit)))
    of = np.maximum(truths, 1)[:, None]
    for index, (hit, counts) in enumerate(zip(matches.hit, matches.counts, strict=True)):
        at = np.flatnonzero(hit)
        if not len(at):
            continue
        tp = np.cumsum(weight[:, at], axis=1, dtype=np.int32)
        said = said_base[:, at]
        other = np.flatnonzero(counts != base)
        if len(other):
            change = np.cumsum(weight[:, other] * np.where(counts[other], 1, -1), axis=1, dtype=np.int32)
            before = np.searchsorted(other, at, side="right")
            said = said + np.pad(change, ((0, 0), (1, 0)))[:, before]
        precision = np.maximum.accumulate((tp / (said + np.spacing(1)))[:, ::-1], axis=1)[:, ::-1]
        gained = np.diff(_reached(tp / of, recalls), axis=1, prepend=0)
        found[:, index] = (precision * gained).sum(axis=1) / len(recalls)
    return found * (truths > 0)[:, None]


def _reached(recall: np.ndarray, recalls: np.ndarray) -> np.ndarray:
    """How many of ``recalls`` (0, 0.01, ... 1) are at most ``recall``: ``np.searchsorted`` in less time."""
    edges = np.append(recalls, np.inf)
    step = (recall * (len(recalls) - 1)).astype(np.int32)
    # Rounding may have led one step too far or not far enough.
    step += edges[step + 1] <= recall
    step -= edges[step] > recall
    return step + 1
