"""From an image and its label map to what a protocol shows the network and scores: sizes, resizing, patches."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from benchmarks.errors import InputError
from benchmarks.segmentation.faults import VOID

#: How Pillow resizes pixels.
FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def resize(image: np.ndarray, size: tuple[int, int], filter: str = "bilinear") -> np.ndarray:
    """An image uint8 ``[H, W, 3]`` at ``size`` (height, width), antialiased, as torchvision resizes Pillow images."""
    if image.shape[:2] == size:
        return image
    return np.array(Image.fromarray(image).resize((size[1], size[0]), FILTERS[filter]))


def resize_labels(labels: np.ndarray, size: tuple[int, int], rule: str = "pillow") -> np.ndarray:
    """A label map ``[H, W]`` at ``size`` by its nearest pixels.

    ``pillow`` takes the pixel under a cell's centre, ``torch`` the one under its upper left corner: both are published.
    """
    if labels.shape == size:
        return labels
    if rule == "pillow":
        return np.array(Image.fromarray(labels).resize((size[1], size[0]), Image.Resampling.NEAREST))
    return (
        F.interpolate(torch.from_numpy(labels)[None, None].float(), size=size, mode="nearest")[0, 0]
        .numpy()
        .astype(labels.dtype)
    )


def short_side(size: tuple[int, int], side: int) -> tuple[int, int]:
    """``size`` (height, width) with its short side at ``side``, the long one rounded, as mmseg and DINOv3 do."""
    height, width = size
    if height > width:
        return int(side * height / width + 0.5), side
    return side, int(side * width / height + 0.5)


def in_patches(size: tuple[int, int], patch: int) -> tuple[int, int]:
    """``size`` with both sides at the nearest multiple of ``patch``, at least one."""
    height, width = (max(1, round(side / patch)) * patch for side in size)
    return height, width


def require_square(side: int, patch: int, what: str) -> None:
    """:class:`InputError` unless patches of ``patch`` pixels fill ``side``."""
    if side % patch:
        nearest = in_patches((side, side), patch)[0]
        raise InputError(f"{what} is {side} pixels, which patches of {patch} do not fill: give for instance {nearest}")


def patches(labels: torch.Tensor, patch: int) -> torch.Tensor:
    """Label maps ``[B, H, W]`` -> the labels of each patch ``[B, h*w, patch*patch]``, all row-major."""
    batch, height, width = labels.shape
    cells = labels.reshape(batch, height // patch, patch, width // patch, patch)
    return cells.permute(0, 1, 3, 2, 4).reshape(batch, -1, patch * patch)


def from_patches(cells: torch.Tensor, size: tuple[int, int], patch: int) -> torch.Tensor:
    """The inverse of :func:`patches`: ``[B, h*w, patch*patch]`` -> ``[B, H, W]``."""
    height, width = size[0] // patch, size[1] // patch
    return cells.reshape(-1, height, width, patch, patch).permute(0, 1, 3, 2, 4).reshape(-1, *size)


def fractions(cells: torch.Tensor, classes: int, void: str = "out") -> torch.Tensor:
    """How much of each patch each class covers: uint8 ``[N, pixels]`` -> fp32 ``[N, C]``, or ``[N, C + 1]``.

    ``void`` pixels are left ``out`` of both counts (a patch of nothing else is all zeros), counted for the ``first``
    class, or get a class of their ``own``, the last.
    """
    index = cells.long()
    if void == "first":
        index = torch.where(index == VOID, 0, index)
    # Without a class, void pixels go to one more column.
    index = torch.where(index == VOID, classes, index)
    counts = torch.zeros(len(cells), classes + 1, dtype=torch.float32)
    counts.scatter_add_(1, index, torch.ones((), dtype=torch.float32).expand(index.shape))
    if void == "own":
        return counts / cells.shape[1]
    counts = counts[:, :classes]
    return counts / counts.sum(1, keepdim=True).clamp(min=1.0)
