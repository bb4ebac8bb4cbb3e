"""The rules for masks: polygons and run lengths of a whole annotation file, looked at in blocks.

A part of fewer than three points is dropped, as mmdet and detectron2 do, and counted; a mask of such parts alone has no
pixel, and its object is dropped. A polygon that is not in a list of polygons is put into one. Whatever else pycocotools
cannot read, or would read as something else, is a fault.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np

from benchmarks.coco import rle

#: Pixels by which a mask or a box may leave its image; official ones touch the border at most.
SLACK = 1.0
#: Objects whose points are looked at together.
BLOCK = 1 << 15


@dataclass
class Masks:
    """What is known about the masks of an annotation file; places are positions in its list."""

    extents: np.ndarray  # float64 [N, 4]: left, top, right, bottom of the points of polygons; NaN for others
    replaced: dict[int, list[list[float]]] = field(default_factory=dict)  # cleaned polygons
    missing: list[int] = field(default_factory=list)
    stray: list[int] = field(default_factory=list)  # had parts that were dropped
    flat: list[int] = field(default_factory=list)  # one polygon, not a list of them
    empty: list[int] = field(default_factory=list)  # no part with three points
    unreadable: list[int] = field(default_factory=list)
    not_finite: list[int] = field(default_factory=list)
    other_size: list[int] = field(default_factory=list)
    wrong_sum: list[int] = field(default_factory=list)
    outside: list[int] = field(default_factory=list)


def look(segmentations: list[Any], heights: np.ndarray, widths: np.ndarray) -> Masks:
    """All rules for the masks of N annotations, whose images are ``heights`` x ``widths``, float64 ``[N]``.

    NaN where an image is not known: there nothing is compared.
    """
    found = Masks(np.full((len(segmentations), 4), np.nan))
    kinds = list(map(type, segmentations))
    found.missing = [i for i, s in enumerate(segmentations) if not s and (s is None or kinds[i] in (list, dict))]
    polygons = [i for i, kind in enumerate(kinds) if kind is list and segmentations[i]]
    for start in range(0, len(polygons), BLOCK):
        _polygons(found, segmentations, polygons[start : start + BLOCK], heights, widths)
    run_lengths = [i for i, kind in enumerate(kinds) if kind is dict and segmentations[i]]
    _run_lengths(found, segmentations, run_lengths, heights, widths)
    known = {list, dict, type(None)}
    if not set(kinds) <= known:
        found.unreadable += [i for i, kind in enumerate(kinds) if kind not in known]
    for places in (found.unreadable, found.not_finite, found.outside):
        places.sort()
    return found


def _polygons(found: Masks, masks: list[Any], places: list[int], heights: np.ndarray, widths: np.ndarray) -> None:
    chosen = [masks[i] for i in places]
    parts = list(chain.from_iterable(chosen))
    if set(map(type, parts)) != {list} or not _sizes_are_sound(list(map(len, parts))):
        places, chosen = _cleaned(found, masks, places)
        parts = list(chain.from_iterable(chosen))
    values = array("d")
    try:
        for part in parts:
            values.fromlist(part)
    except (TypeError, OverflowError):
        readable = [all(map(_are_numbers, mask)) for mask in chosen]
        found.unreadable += [i for i, fine in zip(places, readable, strict=True) if not fine]
        places = [i for i, fine in zip(places, readable, strict=True) if fine]
        chosen = [mask for mask, fine in zip(chosen, readable, strict=True) if fine]
        parts = list(chain.from_iterable(chosen))
        values = array("d", chain.from_iterable(parts))
    if not places:
        return
    points = np.frombuffer(values).reshape(-1, 2)
    lengths = np.fromiter(map(len, parts), np.int64, len(parts)) // 2
    numbers = np.fromiter(map(len, chosen), np.int64, len(chosen))
    # The first point of each object: its parts lie one after the other.
    starts = np.concatenate([[0], np.cumsum(lengths)])[np.concatenate([[0], np.cumsum(numbers)])[:-1]]
    at = np.array(places)
    with np.errstate(invalid="ignore"):
        low, high = np.minimum.reduceat(points, starts), np.maximum.reduceat(points, starts)
    # A boolean is 0 or 1 as a number: only objects that come so near to the border can hold one.
    near = np.flatnonzero((low <= 1).any(axis=1))
    found.unreadable += [places[i] for i in near if not all(map(_are_numbers, chosen[i]))]
    finite = np.isfinite(low).all(axis=1) & np.isfinite(high).all(axis=1)
    found.not_finite += at[~finite].tolist()
    found.extents[at] = np.where(finite[:, None], np.hstack([low, high]), np.nan)
    border = np.stack([widths[at], heights[at]], axis=1) + SLACK
    outside = finite & ((low < -SLACK) | (high > border)).any(axis=1)
    found.outside += at[outside].tolist()


def _sizes_are_sound(sizes: list[int]) -> bool:
    """Whether all parts have whole points, and three or more of them."""
    lengths = np.array(sizes)
    return bool(lengths.min() >= 6 and not (lengths & 1).any())


def _cleaned(found: Masks, masks: list[Any], places: list[int]) -> tuple[list[int], list[list[list[float]]]]:
    """What is left of a block in which something is not a polygon: its places and masks."""
    kept, chosen = [], []
    for i in places:
        mask = masks[i]
        if _are_numbers(mask):
            found.flat.append(i)
            mask = [mask]
        if not all(type(part) is list for part in mask):
            found.unreadable.append(i)
            continue
        whole = [part for part in mask if len(part) >= 6 and len(part) % 2 == 0]
        if not whole:
            (found.empty if all(map(_are_numbers, mask)) else found.unreadable).append(i)
            continue
        if len(whole) < len(mask):
            found.stray.append(i)
        if whole != masks[i]:
            found.replaced[i] = whole
        kept.append(i)
        chosen.append(whole)
    return kept, chosen


def _are_numbers(part: list[Any]) -> bool:
    """Whether a list holds numbers that fit a float, and nothing else."""
    if not set(map(type, part)) <= {int, float}:
        return False
    try:
        array("d", part)
    except OverflowError:
        return False
    return True


def _run_lengths(found: Masks, masks: list[Any], places: list[int], heights: np.ndarray, widths: np.ndarray) -> None:
    compressed, texts = [], []
    for i in places:
        size, counts = masks[i].get("size"), masks[i].get("counts")
        if isinstance(counts, bytes):  # as pycocotools gives them in memory; a JSON file has text
            counts = counts.decode("ascii", "replace")
        if not isinstance(size, list) or list(map(type, size)) != [int, int] or not isinstance(counts, (list, str)):
            found.unreadable.append(i)
        elif not np.isnan(heights[i]) and size != [heights[i], widths[i]]:
            found.other_size.append(i)
        elif isinstance(counts, str):
            compressed.append(i)
            texts.append(counts)
        elif rle.plain_pixels(counts) != size[0] * size[1]:
            found.wrong_sum.append(i)
    for i, covered in zip(compressed, rle.pixels(texts).tolist(), strict=True):
        size = masks[i]["size"]
        if covered != size[0] * size[1]:
            found.wrong_sum.append(i)
    found.wrong_sum.sort()
