"""What a detector learns from: objects that mmdet and detectron2 keep, and those that they leave out without a word."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.coco import boxes
from benchmarks.coco.findings import count
from benchmarks.coco.listed import sides_of
from benchmarks.errors import InputError

#: Share of the objects from which on it is said that they are left out.
LARGE = 0.05
#: Pixels of the shorter side below which mmdet's configs here leave out an image.
SHORTEST = 16


def left_out(content: dict[str, Any]) -> tuple[dict[str, int], int]:
    """Why and how many objects train nothing, and how many do; each is counted under its first reason.

    mmdet: ``CocoDataset.parse_data_info`` and ``filter_data`` of 3.3.0; crowds are ignored regions in both engines.
    """
    annotations = content["annotations"]
    sizes = {image["id"]: (image["height"], image["width"]) for image in content["images"]}
    heights, widths = sides_of([a["image_id"] for a in annotations], sizes)
    left, top, width, height = boxes.read([a["bbox"] for a in annotations])[0].T
    inside = (np.minimum(left + width, widths) > np.maximum(left, 0)) & (
        np.minimum(top + height, heights) > np.maximum(top, 0)
    )
    reasons = {
        "crowds": np.fromiter((a["iscrowd"] for a in annotations), bool, len(annotations)),
        "of area 0": np.fromiter((a["area"] for a in annotations), np.float64, len(annotations)) <= 0,
        "narrower than a pixel": (width < 1) | (height < 1) | ~inside,
        f"in images below {SHORTEST} pixels": np.minimum(heights, widths) < SHORTEST,
    }
    counts, rest = {}, np.ones(len(annotations), bool)
    for reason, these in reasons.items():
        if number := int(np.count_nonzero(these & rest)):
            counts[reason] = number
        rest &= ~these
    return counts, int(np.count_nonzero(rest))


def require_objects(content: dict[str, Any], where: str, dropped: int) -> tuple[str, ...]:
    """What to say where a large share trains nothing; :class:`InputError` where nothing is left to learn from."""
    counts, rest = left_out(content)
    if dropped:
        counts["dropped"] = dropped
    total = rest + sum(counts.values())
    reasons = ", ".join(f"{number:,} {reason}" for reason, number in counts.items())
    if not rest:
        raise InputError(
            f"{where}: none of its {count(total, 'object')} trains a detector ({reasons}): "
            "correct area, bbox and iscrowd; boxes are x, y, width, height in pixels"
        )
    if total - rest >= LARGE * total:
        return (f"{total - rest:,} of {total:,} objects train no detector ({reasons})",)
    return ()
