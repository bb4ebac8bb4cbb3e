"""Four maps of strides 4, 8, 16 and 32 from four taps of a ViT, whose own maps all have one stride."""

from __future__ import annotations

import torch
from torch import nn

from benchmarks.errors import InputError

STRIDES = (4, 8, 16, 32)
PUBLISHED_TAPS = (3, 5, 7, 11)


def default_taps(depth: int) -> tuple[int, int, int, int]:
    """Blocks to tap, counted from 0: the published ones for depth 12, every quarter's last block otherwise."""
    if depth == 12:
        return PUBLISHED_TAPS
    if depth < 4:
        raise InputError(f"a ViT of {depth} blocks has no four taps for a pyramid: name them in the config")
    return tuple((quarter + 1) * depth // 4 - 1 for quarter in range(4))


class FourTapPyramid(nn.Module):
    """The pyramid of XCiT's, SelfPatch's and FLSL's detectors: one tap a level, channels unchanged, taps raw.

    Patch 16: two transposed convolutions with a norm between them, one, none, max pooling by 2.
    Patch 8: one transposed convolution, none, max pooling by 2, max pooling by 4.
    Source: ISL-CV/FLSL @ acb5d6f, ``detection/backbone/vitdeit.py``. Other patch sizes have no published
    recipe and are refused.
    """

    def __init__(self, dim: int, patch: int, norm: type[nn.Module] = nn.SyncBatchNorm) -> None:
        super().__init__()

        def up() -> nn.Module:
            return nn.ConvTranspose2d(dim, dim, kernel_size=2, stride=2)

        if patch == 16:
            levels = [nn.Sequential(up(), norm(dim), nn.GELU(), up()), up(), nn.Identity(), nn.MaxPool2d(2)]
        elif patch == 8:
            levels = [up(), nn.Identity(), nn.MaxPool2d(2), nn.MaxPool2d(4)]
        else:
            raise InputError(f"the four-tap pyramid is defined for patch 8 and 16, not {patch}")
        self.levels = nn.ModuleList(levels)

    def forward(self, taps: list[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """Four maps ``[B, D, H/patch, W/patch]`` -> four maps ``[B, D, H/s, W/s]`` for s = 4, 8, 16, 32."""
        return tuple(level(tap) for level, tap in zip(self.levels, taps, strict=True))
