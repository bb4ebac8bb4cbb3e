"""The rules for boxes ``[left, top, width, height]`` of a whole annotation or results file at once."""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np

from benchmarks.coco.masks import SLACK


def read(boxes: list[Any]) -> tuple[np.ndarray, list[int], list[int]]:
    """Float64 ``[N, 4]`` with NaN where there is none; places without a box; places with what is no box.

    None and an empty list are no box. Text, other lengths, NaN and infinities are faults.
    """
    values = array("d")
    try:
        if set(map(type, boxes)) == {list} and set(map(len, boxes)) == {4}:
            for box in boxes:
                values.fromlist(box)
            found = np.frombuffer(values).reshape(-1, 4)
            if np.isfinite(found).all() and not _holds_booleans(boxes, found):
                return found, [], []
    except (TypeError, OverflowError):
        pass
    found, missing, faulty = np.full((len(boxes), 4), np.nan), [], []
    for i, box in enumerate(boxes):
        if box is None or box == []:
            missing.append(i)
        elif (numbers := _four(box)) is None:
            faulty.append(i)
        else:
            found[i] = numbers
    return found, missing, faulty


def _holds_booleans(boxes: list[list[Any]], found: np.ndarray) -> bool:
    """Whether ``true`` or ``false`` became a number: as one it is 1 or 0, so few boxes have to be looked at."""
    suspects = np.flatnonzero(((found == 0) | (found == 1)).any(axis=1))
    return any(bool in map(type, boxes[i]) for i in suspects)


def _four(box: Any) -> list[float] | None:
    if not isinstance(box, list) or len(box) != 4 or not set(map(type, box)) <= {int, float}:
        return None
    try:
        return box if np.isfinite(np.array(box, np.float64)).all() else None
    except OverflowError:
        return None


def outside(boxes: np.ndarray, heights: np.ndarray, widths: np.ndarray) -> np.ndarray:
    """Which boxes leave their images by more than :data:`SLACK` pixels: bool ``[N]``."""
    left, top, width, height = boxes.T
    with np.errstate(invalid="ignore", over="ignore"):
        beyond = (left + width > widths + SLACK) | (top + height > heights + SLACK)
        return beyond | (left < -SLACK) | (top < -SLACK)


def fit_as_corners(boxes: np.ndarray, heights: np.ndarray, widths: np.ndarray) -> np.ndarray:
    """Which boxes lie in their images if read as left, top, right, bottom: bool ``[N]``."""
    left, top, right, bottom = boxes.T
    inside = (right <= widths + SLACK) & (bottom <= heights + SLACK) & (left >= -SLACK) & (top >= -SLACK)
    return inside & (right >= left) & (bottom >= top)


def are_corners_of(boxes: np.ndarray, extents: np.ndarray) -> bool:
    """Whether most boxes are the corners of their masks' extents (NaN: not known) and not their corner and size.

    Sound data cannot be taken for it: there the second reading fits. Where both fit (from 0, 0 on), nothing is said.
    """
    sized = np.concatenate([extents[:, :2], extents[:, 2:] - extents[:, :2]], axis=1)
    with np.errstate(invalid="ignore"):
        as_corners = (np.abs(boxes - extents) <= SLACK).all(axis=1)
        as_sizes = (np.abs(boxes - sized) <= SLACK).all(axis=1)
    return bool(2 * np.count_nonzero(as_corners & ~as_sizes) > max(1, np.count_nonzero(~np.isnan(extents[:, 0]))))
