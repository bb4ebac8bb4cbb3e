"""ViTDet's simple feature pyramid: four scales of a ViT's one last map, and a fifth."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.backbones.pyramid import STRIDES
from benchmarks.errors import InputError


class ChannelNorm(nn.Module):
    """Normalises the channels of each place of ``[B, C, H, W]``.

    No ``nn.LayerNorm``, as detectron2's is none: its weight decay rule goes by type, and these parameters decay.
    """

    _abbr_ = "ln"  # what mmcv calls it inside a ConvModule

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Same shape; the statistics are those of the population, as in a layer norm."""
        channels = (x.shape[1],)
        return F.layer_norm(x.permute(0, 2, 3, 1), channels, self.weight, self.bias, self.eps).permute(0, 3, 1, 2)


class NormedConv(nn.Conv2d):
    """A convolution without bias, then a channel norm, named ``norm`` below the convolution as in detectron2."""

    def __init__(self, into: int, out: int, size: int) -> None:
        super().__init__(into, out, size, padding=size // 2, bias=False)
        self.norm = ChannelNorm(out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(super().forward(x))


class SimplePyramid(nn.Module):
    """Maps of strides 4, 8, 16, 32 and 64, all with ``out`` channels, from one of stride ``patch`` (4, 8, 16 or 32).

    Patch 16 is ViTDet's: two transposed convolutions, one, none, max pooling; each then a 1x1 and a 3x3 convolution
    with channel norms. For another patch the same steps start elsewhere. The fifth map is every second place of the
    fourth. Parameter names are detectron2's. Source: facebookresearch/detectron2, ``SimpleFeaturePyramid``.
    """

    def __init__(self, dim: int, patch: int = 16, out: int = 256) -> None:
        super().__init__()
        if patch not in STRIDES:
            raise InputError(f"ViTDet's pyramid takes patches of 4, 8, 16 or 32 pixels, not {patch}: use Table 1's")
        for stage, stride in enumerate(STRIDES, start=2):
            doublings, width = round(math.log2(patch / stride)), dim
            layers: list[nn.Module] = [] if doublings >= 0 else [nn.MaxPool2d(2**-doublings)]
            for number in range(doublings):
                layers += [ChannelNorm(width), nn.GELU()] if number else []
                layers.append(nn.ConvTranspose2d(width, width // 2, kernel_size=2, stride=2))
                width //= 2
            layers += [NormedConv(width, out, 1), NormedConv(out, out, 3)]
            self.add_module(f"simfp_{stage}", nn.Sequential(*layers))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """``[B, dim, H/patch, W/patch]`` -> ``[B, out, H/s, W/s]`` for s = 4, 8, 16, 32, and 64 rounded up."""
        maps = [getattr(self, f"simfp_{stage}")(x) for stage in range(2, 6)]
        return (*maps, F.max_pool2d(maps[-1], kernel_size=1, stride=2))
