"""Which box of an image counts, and which nine patches stand for it.

The box is the one with the largest area inside the network's input; the patches are those under the nine
cell centres of its 3x3 partition. Two readings of "inside the input" exist:

``official``   the published program (ISL-CV/FLSL @ acb5d6f, ``eval_bbox_aligned_knn.py``, ``partition_max_bbox``).
               It stretches boxes to 256x256 while the image keeps its aspect, so on a 500x375 image a box is
               up to 27 pixels off. Patch size 16 only. Kept for comparison with published figures.
``corrected``  boxes go where the pixels go. Any patch size that divides the crop.

On square images the two agree, but for images without any box in the crop, which only ``corrected`` leaves out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.errors import InputError

RESIZE = 256
CROP = 224
GRID = 3
OFFICIAL_PATCH = 16

Boxes = Sequence[Sequence[float]]


def resized(width: int, height: int) -> tuple[int, int]:
    """The size after torchvision's ``Resize(256)``: the shorter side 256, the longer one truncated."""
    short, long = sorted((width, height))
    other = int(RESIZE * long / short)
    return (RESIZE, other) if width <= height else (other, RESIZE)


def crop_offset(side: int) -> int:
    """How many pixels torchvision's ``CenterCrop(224)`` takes off before the crop; rounds half to even."""
    return round((side - CROP) / 2.0)


def _clipped(boxes: Boxes, scale: tuple[float, float], offset: tuple[int, int]) -> np.ndarray:
    """Boxes in the pixels of the crop, fp32 ``[n, 4]``, clipped as the published program clips them."""
    inside = np.array(boxes, np.float32) * np.array(scale * 2, np.float32) - np.array(offset * 2, np.float32)
    inside[inside < 0] = 0
    inside[inside > CROP] = CROP - 1e-3
    return inside


def _cell_centres(box: np.ndarray, patch: int) -> np.ndarray:
    """Token ids int64 ``[9]`` under the centres of the 3x3 cells of a box in the pixels of the crop."""
    box = box / np.float32(patch)
    cell = (box[2:] - box[:2]) / np.float32(GRID)
    steps = np.arange(GRID, dtype=np.float32) + np.float32(0.5)
    columns, rows = (np.floor(box[axis] + steps * cell[axis]).astype(np.int64) for axis in (0, 1))
    return (rows[:, None] * (CROP // patch) + columns).ravel()


def official_partition(width: int, height: int, boxes: Boxes) -> tuple[int, np.ndarray]:
    """The published choice: the index of the box and nine token ids int64 ``[9]``, row-major on 14x14 tokens.

    Of equal areas the first wins, also when all are zero. Ids may lie outside the grid when a degenerate box
    sits on the right or lower edge.
    """
    inside = _clipped(boxes, (RESIZE / width, RESIZE / height), ((RESIZE - CROP) // 2,) * 2)
    tokens = inside / np.float32(OFFICIAL_PATCH)
    chosen = int(np.prod(tokens[:, 2:] - tokens[:, :2], axis=1).argmax())
    return chosen, _cell_centres(inside[chosen], OFFICIAL_PATCH)


def corrected_partition(width: int, height: int, boxes: Boxes, patch: int) -> tuple[int, np.ndarray] | None:
    """The choice with boxes where the pixels are, or None when no box has any area inside the crop.

    Boxes follow ``Resize(256)`` and ``CenterCrop(224)`` with the sizes and offsets torchvision uses; the rest,
    roundings included, is as published. Returns as :func:`official_partition`, on the grid of ``224 / patch``
    tokens a side.
    """
    new_width, new_height = resized(width, height)
    scale = (new_width / width, new_height / height)
    inside = _clipped(boxes, scale, (crop_offset(new_width), crop_offset(new_height)))
    areas = np.maximum(inside[:, 2:] - inside[:, :2], 0).prod(axis=1)
    chosen = int(areas.argmax())
    return (chosen, _cell_centres(inside[chosen], patch)) if areas[chosen] > 0 else None


def partition(protocol: str, width: int, height: int, boxes: Boxes, patch: int) -> tuple[int, np.ndarray] | None:
    """The chosen box and its nine token ids under ``protocol``, or None when the image cannot be used.

    Besides what :func:`corrected_partition` says, an ``official`` image is unusable when an id exceeds the grid
    (the published program stops there).
    """
    if protocol == "corrected":
        return corrected_partition(width, height, boxes, patch)
    chosen, ids = official_partition(width, height, boxes)
    return (chosen, ids) if ids.max() < (CROP // OFFICIAL_PATCH) ** 2 else None


def check_protocol(protocol: str, patch: int) -> None:
    """:class:`InputError` unless ``protocol`` is known and defined for this patch size."""
    if protocol not in ("official", "corrected"):
        raise InputError(f"protocol {protocol!r} is not known: choose official or corrected")
    if protocol == "official" and patch != OFFICIAL_PATCH:
        raise InputError(f"the official protocol is defined for patch 16, not {patch}: use the corrected one")
    if CROP % patch:
        raise InputError(f"patch size {patch} does not divide the {CROP}-pixel crop: this benchmark cannot judge it")
