"""From frames to unit features on a grid: all that label propagation knows of a network."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.checkpoints.card import IMAGENET_MEAN, IMAGENET_STD, Card
from benchmarks.davis.protocol import Protocol

RESNET_STAGE = 2
RESNET_STRIDE = 8


class Encoder:
    """A backbone of the house as a map of features. Another kind of network needs other lines here, and only here.

    A ViT gives the patch tokens of its last block. A ResNet gives the map of its third stage with that stage's
    stride taken out, as videowalk does; the module is changed for that. ``stride`` is pixels per token, and
    sides of the input must be multiples of ``multiple``.
    """

    def __init__(self, module: nn.Module, card: Card) -> None:
        self.module, self.card = module, card
        self.is_resnet = card.architecture.kind == "resnet"
        self.stride = self.multiple = card.architecture.patch_size
        if self.is_resnet:
            self.stride, self.multiple = RESNET_STRIDE, 1
            for layer in module.layer3.modules():
                if isinstance(layer, nn.Conv2d):
                    layer.stride = (1, 1)

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Images ``[B, 3, h, w]`` -> features ``[B, rows, columns, D]`` on :meth:`grid`, each of length 1."""
        if self.is_resnet:
            (maps,) = self.module.forward_intermediates(images, indices=[RESNET_STAGE], intermediates_only=True)
            return F.normalize(maps.permute(0, 2, 3, 1), dim=3)
        return F.normalize(self.module.patch_tokens(images), dim=2).unflatten(1, self.grid(images.shape[2:]))

    def grid(self, size: tuple[int, int]) -> tuple[int, int]:
        """Rows and columns of the map for an input of ``size`` (height, width) in pixels; rounded up."""
        return -(-size[0] // self.stride), -(-size[1] // self.stride)

    def normalisation(self, protocol: Protocol) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and deviation for frames: the protocol's, unless the checkpoint was trained with others.

        The published scripts normalise for every network alike. Weights that never saw ImageNet's normalisation
        would be judged on inputs they do not know, so they get the one on their card.
        """
        if (self.card.mean, self.card.std) == (IMAGENET_MEAN, IMAGENET_STD):
            return protocol.mean, protocol.std
        return self.card.mean, self.card.std
