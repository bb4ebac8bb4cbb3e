"""Four maps of strides 4, 8, 16 and 32 from four taps of a ViT, whose own maps all have one stride."""

from __future__ import annotations

import math

import torch
from torch import nn

from benchmarks.errors import InputError

STRIDES = (4, 8, 16, 32)
PUBLISHED_TAPS = (3, 5, 7, 11)


def default_taps(depth: int) -> tuple[int, ...]:
    """Blocks to tap, counted from 0: the published ones for depth 12, every quarter's last block otherwise."""
    if depth == 12:
        return PUBLISHED_TAPS
    if depth < 4:
        raise InputError(f"a ViT of {depth} blocks has no four taps for a pyramid")
    return tuple((quarter + 1) * depth // 4 - 1 for quarter in range(4))


class FourTapPyramid(nn.Module):
    """The pyramid of XCiT's, SelfPatch's and FLSL's detectors: one tap a level, channels unchanged, taps raw.

    Patch 16: two transposed convolutions with a norm between them, one, none, max pooling by 2.
    Patch 8: one transposed convolution, none, max pooling by 2, max pooling by 4.
    Source: ISL-CV/FLSL @ acb5d6f, ``detection/backbone/vitdeit.py``. Both are one rule, double or halve until the
    stride is there, which serves 4 and 32 as well. Maps of other strides are brought to one of these before
    (:func:`benchmarks.backbones.patches.on_padded`).
    """

    def __init__(self, dim: int, patch: int, norm: type[nn.Module] = nn.SyncBatchNorm) -> None:
        super().__init__()
        if patch not in STRIDES:
            raise InputError(f"patches of {patch} pixels do not fit the strides {STRIDES} of a pyramid")

        def level(stride: int) -> nn.Module:
            doublings = round(math.log2(patch / stride))
            if doublings < 0:
                return nn.MaxPool2d(2**-doublings)
            steps: list[nn.Module] = []
            for number in range(doublings):
                steps += [norm(dim), nn.GELU()] if number else []
                steps.append(nn.ConvTranspose2d(dim, dim, kernel_size=2, stride=2))
            return nn.Identity() if not steps else steps[0] if len(steps) == 1 else nn.Sequential(*steps)

        self.levels = nn.ModuleList(level(stride) for stride in STRIDES)

    def forward(self, taps: list[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """Four maps ``[B, D, H/patch, W/patch]`` -> four maps ``[B, D, H/s, W/s]`` for s = 4, 8, 16, 32."""
        return tuple(level(tap) for level, tap in zip(self.levels, taps, strict=True))
