"""From a detector's boxes in single frames to the toolkit's rows by sequence, and to their score."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.uavdt.evaluation import Outcomes, find_ground_truth, read_ground
from benchmarks.uavdt.rows import write_detections
from benchmarks.uavdt.scoring import OFFICIAL_IOU

#: Digits kept of pixels and of scores: what is written is what is scored, and half a million rows stay small.
PIXEL_DIGITS, SCORE_DIGITS = 3, 8


class FrameDetections(NamedTuple):
    """What was found in one frame."""

    sequence: str
    frame: int  # from 1
    boxes: np.ndarray  # float [N, 4]: left, top, right, bottom in pixels of the frame
    scores: np.ndarray  # float [N]


def score_frames(
    ground_truth: str | os.PathLike[str], found: Iterable[tuple], out: str | os.PathLike[str] | None = None
) -> Outcomes:
    """Score the detections of all frames of some sequences; with ``out`` write them to ``out/<sequence>.txt`` as well.

    ``found`` are :class:`FrameDetections` or such tuples, in any order. Every frame of a sequence must be there, also
    one without detections.
    """
    sequences: dict[str, list[FrameDetections]] = {}
    for one in map(FrameDetections._make, found):
        sequences.setdefault(one.sequence, []).append(one)
    outcomes = Outcomes({OFFICIAL_IOU: {}})
    folder = find_ground_truth(ground_truth)
    for name in sorted(sequences):
        frames, boxes, scores = _rows(sorted(sequences[name], key=lambda one: one.frame))
        if out is not None:
            write_detections(Path(out) / f"{name}.txt", frames, boxes, scores)
        outcomes.add(read_ground(folder, name), np.concatenate([frames[:, None], boxes], axis=1), scores)
    return outcomes


def _rows(members: list[FrameDetections]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Frames int ``[N]``, boxes (left, top, width, height) ``[N, 4]`` and scores ``[N]``, rounded."""
    frames = np.repeat([one.frame for one in members], [len(one.scores) for one in members])
    corners = np.concatenate([one.boxes for one in members]).astype(np.float64)
    scores = np.concatenate([one.scores for one in members]).astype(np.float64)
    sizes = np.maximum(corners[:, 2:] - corners[:, :2], 0)
    boxes = np.round(np.concatenate([corners[:, :2], sizes], axis=1), PIXEL_DIGITS)
    return frames, boxes, np.round(scores, SCORE_DIGITS)
