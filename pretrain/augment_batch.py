"""The augmentation of :mod:`pretrain.augment` for a whole batch at once, where the batch is: on a GPU, if there is one.

The same drawn numbers give the same views as :func:`pretrain.augment.augment`, up to a grey level here and there: every
operation follows OpenCV's arithmetic on bytes, rounding included, in fp32 planes of whole numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from pretrain.augment import LARGEST_BLUR, SMALLEST_BLUR, SOLARIZE_FROM, Augmentation

#: Pixels that the widest blur reaches to each side.
REACH = round(6 * LARGEST_BLUR + 1) // 2


def pack(drawn: Sequence[Augmentation]) -> torch.Tensor:
    """Augmentations as fp64 ``[N, 11]``: four jitters (-1: none) in order, their amounts, grey, blur, solarise."""
    rows = np.full((len(drawn), 11), -1.0)
    for row, one in zip(rows, drawn, strict=True):
        for slot, (which, amount) in enumerate(one.jitter):
            row[slot], row[4 + slot] = which, amount
        row[8:] = one.grey, one.blur, one.solarize
    return torch.from_numpy(rows)


def augment_batch(images: torch.Tensor, drawn: torch.Tensor) -> torch.Tensor:
    """Apply ``drawn``, see :func:`pack`, to RGB uint8 ``[N, H, W, 3]`` on any device.

    ``drawn`` stays on the CPU: which images an operation is for is known there, so the device is never waited for.
    """
    planes = images.permute(0, 3, 1, 2).float()
    jitters, amounts, flags = drawn[:, :4], drawn[:, 4:8], drawn[:, 8:]

    def apply(operation: Callable[..., torch.Tensor], chosen: torch.Tensor, numbers: torch.Tensor) -> None:
        """``numbers [N, m]`` reach ``operation`` as ``[n, m, 1, 1]`` for the ``n`` images it is for."""
        if chosen.any():
            where = chosen.nonzero()[:, 0].to(planes.device, non_blocking=True)
            given = numbers[chosen].float().to(planes.device, non_blocking=True)
            planes[where] = operation(planes[where], given[:, :, None, None])

    for slot in range(4):
        for which, operation in enumerate(JITTER):
            apply(operation, jitters[:, slot] == which, amounts[:, slot : slot + 1])
    apply(grey, flags[:, 0] > 0, flags)
    apply(blur, flags[:, 1] > 0, byte_taps(flags[:, 1]))
    apply(solarize, flags[:, 2] > 0, flags)
    return planes.permute(0, 2, 3, 1).to(torch.uint8)


def luma(planes: torch.Tensor) -> torch.Tensor:
    """Luma (ITU-R 601, OpenCV's 15-bit weights) of ``[N, 3, H, W]``: ``[N, 1, H, W]``."""
    red, green, blue = planes.split(1, dim=1)
    return ((9798 * red + 19235 * green + 3735 * blue + 16384) / 32768).floor_()


def brightness(planes: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    return (planes * factor).round_().clamp_(0, 255)


def contrast(planes: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    mean = (luma(planes).mean((1, 2, 3), keepdim=True) + 0.5).floor_()
    return (planes * factor + mean * (1 - factor)).clamp_(0, 255).floor_()


def saturation(planes: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    return (planes * factor + luma(planes) * (1 - factor)).round_().clamp_(0, 255)


def hue(planes: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    """Through OpenCV's HSV of bytes, where the circle is 256 on the way there and 255 on the way back."""
    red, green, blue = planes.split(1, dim=1)
    value = planes.amax(1, keepdim=True)
    spread = value - planes.amin(1, keepdim=True)
    scale = (255 * 4096 / value.clamp(min=1)).round_()
    saturated = ((spread * scale + 2048) / 4096).floor_()
    sector = torch.where(
        value == red,
        green - blue,
        torch.where(value == green, blue - red + 2 * spread, red - green + 4 * spread),
    )
    scale = (256 * 4096 / (6 * spread).clamp(min=1)).round_()
    turned = (((sector * scale + 2048) / 4096).floor_() + (255 * shift).trunc()) % 256
    chroma = value * saturated / 255
    offset = torch.arange(5.0, 0.0, -2.0, device=planes.device)[:, None, None]  # made there: a copy would wait
    away = (offset + turned * (6 / 255)) % 6
    return (value - chroma * torch.minimum(away, 4 - away).clamp_(0, 1)).round_()


def grey(planes: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
    return luma(planes).expand_as(planes)


def blur(planes: torch.Tensor, taps: torch.Tensor) -> torch.Tensor:
    """Each image by its own :func:`byte_taps`, edges repeated."""
    height, width = planes.shape[2:]
    wide = F.pad(planes, [REACH] * 4, mode="replicate")
    # A sum of shifted copies and not a convolution, which a GPU may round to ten bits.
    lines: Any = sum(taps[:, k : k + 1] * wide[..., k : k + width] for k in range(2 * REACH + 1))
    total: Any = sum(taps[:, k : k + 1] * lines[:, :, k : k + height] for k in range(2 * REACH + 1))
    return ((total + 2**15) / 2**16).floor_()


def byte_taps(sigma: torch.Tensor) -> torch.Tensor:
    """OpenCV's Gaussian kernels for bytes: fp64 ``[N, 2 * REACH + 1]``, whole numbers that sum to 256.

    A kernel has ``round(6 sigma + 1)`` taps, made odd. Rounding errors are carried on from the edge to the centre.
    """
    sigma = sigma.clamp(min=SMALLEST_BLUR)[:, None]
    offsets = torch.arange(-REACH, REACH + 1)
    inside = offsets.abs() <= (6 * sigma + 1).round() // 2
    exact = torch.exp(-(offsets**2) / (2 * sigma**2)) * inside
    exact *= 256 / exact.sum(1, keepdim=True)
    taps = torch.zeros_like(exact)
    error: torch.Tensor | float = 0.0
    for k in range(REACH):
        carried = exact[:, k] + error
        taps[:, k] = taps[:, -1 - k] = carried.round()
        error = carried - taps[:, k]
    taps[:, REACH] = 256 - taps.sum(1)
    return taps


def solarize(planes: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
    return torch.where(planes < SOLARIZE_FROM, planes, 255 - planes)


JITTER = (brightness, contrast, saturation, hue)
