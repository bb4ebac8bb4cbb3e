"""The one ResNet of the house: blocks of any width, torchvision's names and stride placement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from benchmarks.checkpoints.card import ResNetArchitecture


class Block(nn.Module):
    """Convolutions with batch norms, ``conv1`` and ``bn1`` and so on, beside a shortcut.

    ``convolutions``: as :attr:`ResNetArchitecture.convolutions`, two for a basic block, three for a bottleneck.
    """

    def __init__(
        self, convolutions: Sequence[tuple[int, bool]], into: int, inner: int, out: int, stride: int, eps: float
    ) -> None:
        super().__init__()
        self.count = len(convolutions)
        channels = (into, *[inner] * (self.count - 1), out)
        for n, (kernel, strided) in enumerate(convolutions, start=1):
            step = stride if strided else 1
            convolution = nn.Conv2d(channels[n - 1], channels[n], kernel, step, padding=kernel // 2, bias=False)
            setattr(self, f"conv{n}", convolution)
            setattr(self, f"bn{n}", nn.BatchNorm2d(channels[n], eps))
        self.downsample = None
        if stride != 1 or into != out:
            self.downsample = nn.Sequential(
                nn.Conv2d(into, out, 1, stride, bias=False),
                nn.BatchNorm2d(out, eps),
            )
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x
        for n in range(1, self.count + 1):
            y = getattr(self, f"bn{n}")(getattr(self, f"conv{n}")(y))
            if n < self.count:
                y = self.relu(y)
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


class HouseResNet(nn.Module):
    """A ResNet of four stages without classifier. Images ``[B, 3, H, W]`` of any size.

    Its maps have strides 4, 8, 16 and 32; a side that these do not divide is rounded up, as convolutions do.
    """

    def __init__(self, architecture: ResNetArchitecture) -> None:
        super().__init__()
        a = self.architecture = architecture
        self.conv1 = nn.Conv2d(3, a.stem, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(a.stem, a.eps)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        into = a.stem
        for stage, (blocks, inner, out) in enumerate(zip(a.blocks, a.inner, a.widths, strict=True), start=1):
            layers = []
            for i in range(blocks):
                layers.append(Block(a.convolutions, into, inner, out, 2 if stage > 1 and i == 0 else 1, a.eps))
                into = out
            setattr(self, f"layer{stage}", nn.Sequential(*layers))

    def stages(self, images: torch.Tensor) -> list[torch.Tensor]:
        """The maps of the four stages, ``[B, widths[s], H / 2^(s+2), W / 2^(s+2)]``."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        maps = []
        for stage in range(1, 5):
            x = getattr(self, f"layer{stage}")(x)
            maps.append(x)
        return maps

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """The last stage's map ``[B, C, h, w]``."""
        return self.stages(images)[-1]

    def forward_intermediates(
        self,
        images: torch.Tensor,
        indices: int | list[int] | None = None,
        norm: bool = False,
        intermediates_only: bool = False,
        **_: object,
    ) -> Any:
        """timm's contract: the maps of the chosen stages (a number: the last ones), and the last map beside them."""
        maps = self.stages(images)
        chosen = range(4)[-indices:] if isinstance(indices, int) else indices or range(4)
        taken = [maps[index] for index in chosen]
        return taken if intermediates_only else (maps[-1], taken)

    def patch_tokens(self, images: torch.Tensor) -> torch.Tensor:
        """Images ``[B, 3, H, W]`` -> the cells of the last stage's map ``[B, h*w, C]``, row-major."""
        return self(images).flatten(2).transpose(1, 2)
