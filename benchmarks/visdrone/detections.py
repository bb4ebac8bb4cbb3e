"""From a detector's boxes in pictures to the toolkit's files, and to their score."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.listing import stem_of
from benchmarks.uavdt.detections import PIXEL_DIGITS, SCORE_DIGITS
from benchmarks.visdrone.dataset import open_split
from benchmarks.visdrone.evaluation import evaluate
from benchmarks.visdrone.rows import write_detections


def score_pictures(
    ground_truth: str | os.PathLike[str], found: Iterable[tuple], out: str | os.PathLike[str]
) -> dict[str, Any]:
    """Write the detections of all pictures to ``out/<picture>.txt`` and score these files.

    ``found`` are tuples (path of the picture, boxes ``[N, 4]`` (left, top, right, bottom in its pixels),
    scores ``[N]``, classes from 0 ``[N]``); a picture that is not among them has no detection.
    """
    done = set()
    for path, corners, scores, labels in found:
        corners = corners.astype(np.float64)
        sizes = np.maximum(corners[:, 2:] - corners[:, :2], 0)
        boxes = np.round(np.concatenate([corners[:, :2], sizes], axis=1), PIXEL_DIGITS)
        done.add(stem_of(path))
        write_detections(
            Path(out) / f"{stem_of(path)}.txt", boxes, np.round(scores.astype(np.float64), SCORE_DIGITS), labels + 1
        )
    for name in set(open_split(Path(ground_truth)).names) - done:
        write_detections(Path(out) / f"{name}.txt", np.empty((0, 4)), np.empty(0), np.empty(0, int))
    return evaluate(ground_truth, out)
