"""What follows from a mask: its box and its area, as COCO defines them."""

from __future__ import annotations

from typing import Any

import numpy as np
from pycocotools import mask as rle


def box_of(mask: list[list[float]] | dict[str, Any], height: int, width: int) -> list[float]:
    """``[left, top, width, height]`` around the points of polygons, as in COCO's files, or around the pixels."""
    if isinstance(mask, dict):
        return [float(value) for value in rle.toBbox(encoded(mask, height, width))]
    points = np.concatenate([np.reshape(part, (-1, 2)) for part in mask]).astype(np.float64)
    low, high = points.min(axis=0), points.max(axis=0)
    return [float(value) for value in (*low, *(high - low))]


def area_of(annotation: dict[str, Any], height: int, width: int) -> float:
    """The pixels of the mask, as in COCO's files; where there is none, those of the box."""
    mask = annotation.get("segmentation")
    if not mask:
        return float(annotation["bbox"][2] * annotation["bbox"][3])
    return float(rle.area(encoded(mask, height, width)))


def encoded(mask: list[list[float]] | dict[str, Any], height: int, width: int) -> dict[str, Any]:
    """A mask as compressed run lengths, by pycocotools' own rasteriser."""
    if isinstance(mask, list):
        # A first part of four numbers would be taken for a box; the rules leave no such part.
        return rle.merge(rle.frPyObjects(mask, height, width))
    if isinstance(mask["counts"], list):
        return rle.frPyObjects(mask, height, width)
    return mask
