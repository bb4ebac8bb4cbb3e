"""Bootstrap of UAVDT's official AP over sequences."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.core import bootstrap
from benchmarks.uavdt.scoring import Outcome


def interval(outcomes: list[Outcome]) -> dict[str, Any]:
    """A record's ``interval`` of AP over sequences: the frames of one are too much alike to count as drawn freely."""
    return bootstrap.interval("sequences", len(outcomes), lambda drawn: {"AP": resampled(outcomes, drawn)})


def resampled(outcomes: list[Outcome], drawn: np.ndarray) -> np.ndarray:
    """The official AP in percent, ``[R]``, for sequences drawn ``[R, sequences]`` times each.

    Detections are sorted once; a drawn sequence's have its weight. Recall rises at hits alone.
    """
    scores = np.concatenate([outcome.scores for outcome in outcomes])
    order = np.argsort(-scores, kind="stable")
    hits = np.concatenate([outcome.hits for outcome in outcomes])[order]
    sequence = np.repeat(np.arange(len(outcomes)), [len(outcome.scores) for outcome in outcomes])[order]
    truths = drawn @ np.array([len(outcome.found) for outcome in outcomes])
    at = np.flatnonzero(hits)
    found = np.zeros(len(drawn))
    for index, weights in enumerate(drawn):
        weight = weights[sequence]
        tp, said = np.cumsum(weight[at]), np.cumsum(weight)[at]
        precision = np.maximum.accumulate((tp / np.maximum(said, 1))[::-1])[::-1]
        found[index] = 100 * float((weight[at] * precision).sum()) / max(1, truths[index])
    return found
