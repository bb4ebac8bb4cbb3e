"""J and F of DAVIS 2017, semi-supervised, as the official evaluator computes them.

Source: davisvideochallenge/davis2017-evaluation @ ac7c43f. Region similarity J is the IoU of an object's
masks; boundary accuracy F is the F-measure of their contours under a tolerance of 0.8% of the diagonal.
The first and the last frame of a sequence are not scored; the means are over objects.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.davis.dataset import (
    FEWEST_MASKS,
    VOID,
    find_root,
    list_masks,
    read_mask,
    require_objects,
    sequence_names,
)
from benchmarks.errors import InputError, say
from benchmarks.files import require_folder
from benchmarks.listing import by_stem, list_files, stem_of
from benchmarks.progress import Progress

#: The tolerance of F as a fraction of the image diagonal.
BOUNDARY_TOLERANCE = 0.008

#: A frame counts for recall when its value is above this.
RECALL_THRESHOLD = 0.5


@dataclass(frozen=True)
class ObjectScores:
    """J and F of one object, one value for each scored frame."""

    j: np.ndarray
    f: np.ndarray


def region_similarity(truth: np.ndarray, prediction: np.ndarray) -> float:
    """J: intersection over union of two boolean masks ``[H, W]``; 1 where both are empty."""
    union = np.count_nonzero(truth | prediction)
    return np.count_nonzero(truth & prediction) / union if union else 1.0


def boundary_map(mask: np.ndarray) -> np.ndarray:
    """The contour of a boolean mask ``[H, W]``, uint8: pixels unlike their right, lower or lower right neighbour.

    The last row looks right only, the last column down only, the last corner never counts.
    """
    mask = mask.view(np.uint8)
    contour = np.zeros_like(mask)
    contour[:-1, :-1] = mask[:-1, :-1] ^ mask[1:, 1:]
    contour[:, :-1] |= mask[:, :-1] ^ mask[:, 1:]
    contour[:-1] |= mask[:-1] ^ mask[1:]
    return contour


@lru_cache
def disk(radius: int) -> np.ndarray:
    """The pixels whose centre is within ``radius`` of the middle one: uint8 ``[2r+1, 2r+1]``."""
    offsets = np.arange(-radius, radius + 1)
    return (offsets[:, None] ** 2 + offsets[None] ** 2 <= radius**2).astype(np.uint8)


def boundary_radius(height: int, width: int) -> int:
    """How far apart two contours of an image may be and still meet, in pixels: 8 at 480x854."""
    return math.ceil(BOUNDARY_TOLERANCE * math.hypot(height, width))


def _near(points: np.ndarray, count: int, others: np.ndarray, radius: int) -> int:
    """How many of the ``count`` ``points`` have one of ``others`` within ``radius``; both 0 and 1, uint8 ``[H, W]``."""
    # Most are as near as the square inside the disk, which is many times cheaper. The disk decides for the rest.
    side = 2 * int(radius / math.sqrt(2)) + 1
    near: np.ndarray = cv2.dilate(others, np.ones((side, side), np.uint8))
    far = points & ~near
    left, top, width, height = cv2.boundingRect(far)
    if not width:
        return count
    above, before = max(top - radius, 0), max(left - radius, 0)
    spread: np.ndarray = cv2.dilate(others[above : top + height + radius, before : left + width + radius], disk(radius))
    reached = spread[top - above :, left - before :][:height, :width]
    return count - cv2.countNonZero(far[top : top + height, left : left + width] & ~reached)


def boundary_accuracy(truth: np.ndarray, prediction: np.ndarray, radius: int | None = None) -> float:
    """F: the F-measure of two masks' contours; a contour pixel is met by another within ``radius``.

    The radius defaults to that of an image of the masks' size; give it when they are parts of a larger one.
    """
    radius = boundary_radius(*truth.shape) if radius is None else radius
    contours = [boundary_map(mask) for mask in (truth, prediction)]
    counts = [cv2.countNonZero(contour) for contour in contours]
    if not all(counts):
        # An empty contour is perfectly precise and finds nothing, so two are perfect and one alone scores 0.
        return float(not any(counts))
    recall = _near(contours[0], counts[0], contours[1], radius) / counts[0]
    precision = _near(contours[1], counts[1], contours[0], radius) / counts[1]
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def object_scores(truth: np.ndarray, prediction: np.ndarray) -> tuple[float, float]:
    """J and F of two boolean masks ``[H, W]``, looking only where one of them is (and one pixel around)."""
    radius = boundary_radius(*truth.shape)
    left, top, width, height = cv2.boundingRect((truth | prediction).view(np.uint8))
    here = np.s_[max(top - 1, 0) : top + height + 1, max(left - 1, 0) : left + width + 1]
    truth, prediction = truth[here], prediction[here]
    return region_similarity(truth, prediction), boundary_accuracy(truth, prediction, radius)


def statistics(values: np.ndarray) -> tuple[float, float, float]:
    """Mean, recall and decay of one object's values over its scored frames.

    Decay is the mean of the first quarter minus that of the last. As in the official program the bounds
    of the quarters are kept in 8 bits, so above 256 scored frames they wrap and decay may be NaN.
    """
    bounds = np.round(np.linspace(1, len(values), 5) + 1e-10) - 1
    bounds = bounds.astype(np.int64).astype(np.uint8)
    first, last = values[bounds[0] : int(bounds[1]) + 1], values[bounds[3] : int(bounds[4]) + 1]
    decay = np.mean(first) - np.mean(last) if len(first) and len(last) else math.nan
    return float(np.mean(values)), float(np.mean(values > RECALL_THRESHOLD)), float(decay)


def score_video(
    truth: Iterable[np.ndarray],
    predictions: Iterable[np.ndarray],
    num_objects: int,
    name: str,
    void: bool = False,
) -> list[ObjectScores]:
    """Score the frames given (leave out the first and the last of the video): index masks ``[H, W]`` in pairs.

    ``num_objects`` is the highest index of the first ground-truth mask; objects are matched by index. An index
    above it is not scored where the ground truth has it, and an :class:`InputError` where a prediction has it (the
    official program stops there); one that never occurs is an empty mask. Void (255) is background in both. In a
    prediction it is an index too high like any other, as in the official program, unless the first mask has ``void``,
    from where propagation carries it on.
    """
    values = []
    for number, (true, predicted) in enumerate(zip(truth, predictions, strict=True), start=1):
        if true.shape != predicted.shape:
            sizes = " and ".join(f"{mask.shape[1]}x{mask.shape[0]}" for mask in (true, predicted))
            raise InputError(f"{name}, frame {number}: ground truth and prediction have different sizes, {sizes}")
        highest = predicted[predicted != VOID].max(initial=0) if void else predicted.max()
        if highest > num_objects:
            raise InputError(
                f"{name}, frame {number}: the prediction has index {highest}, but the sequence has "
                f"{num_objects} object(s): write 0 for background and 1 to {num_objects} for objects"
            )
        values.append([object_scores(true == index, predicted == index) for index in range(1, num_objects + 1)])
    if not values:
        raise InputError(f"{name} has no frame to score: the first and the last are left out, so give at least 3")
    table = np.array(values).reshape(len(values), num_objects, 2)
    return [ObjectScores(table[:, index, 0], table[:, index, 1]) for index in range(num_objects)]


def summarise(scores: Mapping[str, Sequence[ObjectScores]]) -> dict[str, Any]:
    """The official figures, as fractions, from the objects of all sequences.

    Keys: ``J&F-Mean``, then Mean, Recall and Decay of ``J`` and of ``F`` (means over objects), then
    ``per_object`` with ``{"<sequence>_<index>": {"J", "F"}}``. A decay that is not defined is None.
    """
    objects = {f"{name}_{index}": one for name, found in scores.items() for index, one in enumerate(found, start=1)}
    if not objects:
        raise InputError(f"no object in the first mask of {', '.join(scores)}: is this DAVIS 2017's ground truth?")
    j, f = (np.array([statistics(getattr(one, measure)) for one in objects.values()]) for measure in "jf")
    summary: dict[str, Any] = {"J&F-Mean": float(j[:, 0].mean() + f[:, 0].mean()) / 2}
    for measure, table in (("J", j), ("F", f)):
        for column, statistic in enumerate(("Mean", "Recall", "Decay")):
            value = float(table[:, column].mean())
            summary[f"{measure}-{statistic}"] = None if math.isnan(value) else value
    summary["per_object"] = {name: {"J": float(j[row, 0]), "F": float(f[row, 0])} for row, name in enumerate(objects)}
    return summary


@dataclass(frozen=True)
class Truth:
    """The mask files of one sequence, how many objects the first one shows, and whether it has void pixels."""

    masks: tuple[Path, ...]
    num_objects: int
    void: bool


def require_enough(name: str, masks: Sequence[Path]) -> None:
    """:class:`InputError` for a sequence with too few masks to score."""
    if len(masks) < FEWEST_MASKS:
        raise InputError(
            f"{name} has {len(masks)} ground-truth mask(s) here: scoring needs at least {FEWEST_MASKS}, leave it out"
        )


def truth_of(root: Path, name: str, frames: int | None = None) -> Truth:
    """The ground truth of one sequence (of its first ``frames``); :class:`InputError` where nothing can be scored."""
    masks = list_masks(root, name)[:frames]
    require_enough(name, masks)
    first = require_objects(read_mask(masks[0]), masks[0])
    last = read_mask(masks[-1])  # not scored, but a broken one makes one doubt the rest
    num_objects = int(first[first != VOID].max())
    absent = sorted(set(range(1, num_objects + 1)) - set(np.unique(first).tolist()))
    if absent:
        which = ", ".join(map(str, absent))
        say(f"{name}: the first mask lacks object {which} of 1..{num_objects}: nothing can follow it, and it is scored")
    late = np.unique(last[(last > num_objects) & (last != VOID)])
    if late.size:
        which = ", ".join(map(str, late.tolist()))
        say(f"{name}: object {which} appears after the first mask: it is neither followed nor scored")
    return Truth(masks, num_objects, bool((first == VOID).any()))


def evaluate(
    davis_root: str | os.PathLike[str],
    predictions: str | os.PathLike[str] | Mapping[str, Sequence[np.ndarray]],
    sequences: Sequence[str] | None = None,
    frames: int | None = None,
    progress: bool = False,
) -> dict[str, Any]:
    """Score label maps against DAVIS 2017; see :func:`summarise` for what comes back.

    Args:
        davis_root: the folder DAVIS, or one that holds it.
        predictions: a folder with ``<sequence>/<frame>.png``, or the label maps in memory: for each sequence one
            ``[H, W]`` for every frame, the first included.
        sequences: default: the validation list.
        frames: score the first so many frames of each sequence as if there were no more (not the official rule).

    Raises:
        InputError: a sequence, a frame or an object does not fit; the message names it.
    """
    if not isinstance(predictions, Mapping):
        predictions = require_folder(predictions, "folder of predictions")
    root = find_root(davis_root)
    scores = {}
    for name in Progress(sequence_names(root, sequences), desc="J&F", unit="sequence", disable=not progress):
        truth = truth_of(root, name, frames)
        if isinstance(predictions, Mapping):
            if len(predictions.get(name, ())) != len(truth.masks):
                raise InputError(f"{name}: {len(truth.masks)} masks but {len(predictions.get(name, ()))} predictions")
            predicted: Iterator[np.ndarray] = iter(predictions[name][1:-1])
        else:
            predicted = map(read_mask, _predictions_of(predictions / name, truth.masks[1:-1]))
        scored = map(read_mask, truth.masks[1:-1])
        scores[name] = score_video(scored, predicted, truth.num_objects, name, truth.void)
        lost = [str(number) for number, one in enumerate(scores[name], start=1) if not one.j.any()]
        if lost:
            say(f"{name}: J is 0 in every frame for object {', '.join(lost)} of 1..{truth.num_objects}")
    return summarise(scores)


def _predictions_of(folder: Path, masks: Sequence[Path]) -> list[Path]:
    """The predictions for ``masks``, by name; :class:`InputError` where some are missing."""
    there = by_stem(folder, list_files(require_folder(folder, "folder of predictions"), {".png"}, deep=False))
    missing = [mask.name for mask in masks if stem_of(mask) not in there]
    if missing:
        raise InputError(
            f"{folder} lacks {missing[0]} ({len(missing)} of {len(masks)} scored frames are missing): "
            "propagate the whole sequence, or score only the first frames with --frames"
        )
    return [there[stem_of(mask)] for mask in masks]
