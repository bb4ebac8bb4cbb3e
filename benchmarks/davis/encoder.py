"""From frames to unit features on a grid: all that label propagation knows of a network."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.checkpoints.card import IMAGENET_MEAN, IMAGENET_STD, Card
from benchmarks.davis.protocol import Protocol


class Encoder:
    """A backbone of the house as a map of features. Another kind of network needs other lines here, and only here.

    ``stride`` is pixels per token; sides of the input must be multiples of it.
    """

    def __init__(self, module: nn.Module, card: Card) -> None:
        self.module, self.card = module, card
        self.stride = card.architecture.patch_size

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Images ``[B, 3, h, w]`` -> features ``[B, h / stride, w / stride, D]``, each of length 1."""
        tokens = self.module.patch_tokens(images)
        return F.normalize(tokens, dim=2).unflatten(1, self.grid(images.shape[2:]))

    def grid(self, size: tuple[int, int]) -> tuple[int, int]:
        """Rows and columns of the map for an input of ``size`` (height, width) in pixels."""
        return size[0] // self.stride, size[1] // self.stride

    def normalisation(self, protocol: Protocol) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and deviation for frames: the protocol's, unless the checkpoint was trained with others.

        The published scripts normalise for every network alike. Weights that never saw ImageNet's normalisation
        would be judged on inputs they do not know, so they get the one on their card.
        """
        if (self.card.mean, self.card.std) == (IMAGENET_MEAN, IMAGENET_STD):
            return protocol.mean, protocol.std
        return self.card.mean, self.card.std
