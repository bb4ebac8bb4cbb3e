"""Dense features of unit length on a grid: all that label propagation knows of a network."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.checkpoints.card import IMAGENET_MEAN, IMAGENET_STD, Card, TimmArchitecture
from benchmarks.davis.protocol import Protocol
from benchmarks.errors import InputError

STAGE = 2  # the third
RESNET_STRIDE = 8

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Encoder:
    """A function that gives features of patches, and what must be known to call it.

    Attributes:
        tokens: normalised images ``[B, 3, h, w]`` -> features ``[B, rows * columns, D]`` (or ``[B, rows, columns,
            D]``), row-major, without class or register tokens, on the images' device. Called from several threads where
            the caller asks for sequences side by side.
        patch_size: pixels per token.
        multiple: sides of the images must be multiples of it; None: of ``patch_size``.
        mean, std: what the network was trained with.
        precision: what ``tokens`` computes in; similarities and labels are fp32 always.
        layer: the block (a ResNet's stage) that the features are of, counted from 1, for the record; None: not known.
    """

    tokens: Callable[[torch.Tensor], torch.Tensor]
    patch_size: int
    mean: Triple = IMAGENET_MEAN
    std: Triple = IMAGENET_STD
    multiple: int | None = None
    layer: int | None = None
    precision: str = "fp32"

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Images ``[B, 3, h, w]`` -> features ``[B, rows, columns, D]`` on :meth:`grid`, each of length 1."""
        features = self.tokens(images)
        grid = self.grid((images.shape[2], images.shape[3]))
        asked = (len(images), *grid, features.shape[-1])
        if features.shape[:-1] == (len(images), grid[0] * grid[1]):
            features = features.unflatten(1, grid)
        if features.shape != asked:
            raise InputError(
                f"the network gives {list(features.shape)} for images {list(images.shape)}: with patches of "
                f"{self.patch_size} pixels that must be {list(asked)}, without class or register tokens"
            )
        return F.normalize(features, dim=-1)

    def grid(self, size: tuple[int, int]) -> tuple[int, int]:
        """Rows and columns of the map for an input of ``size`` (height, width) in pixels; rounded up."""
        return -(-size[0] // self.patch_size), -(-size[1] // self.patch_size)

    def normalisation(self, protocol: Protocol) -> tuple[Triple, Triple]:
        """Mean and deviation for frames: the protocol's, unless the checkpoint was trained with others.

        The published scripts normalise for every network alike. Weights that never saw ImageNet's normalisation
        would be judged on inputs they do not know, so they get their own.
        """
        if (tuple(self.mean), tuple(self.std)) == (IMAGENET_MEAN, IMAGENET_STD):
            return protocol.mean, protocol.std
        return self.mean, self.std


def backbone_encoder(module: Any, card: Card, layer: int | None = None) -> Encoder:
    """The encoder of a backbone of the house, which is left as it is.

    A ViT gives the patch tokens of its last block, or of block ``layer`` (from 1), after the final norm in both cases,
    as the published programs take inner blocks. A ResNet gives the map of its third stage with that stage's stride
    taken out, as videowalk does. A network of timm's with stages (ConvNeXt, Swin) gives its third stage as it is, raw,
    at its own stride of 16 pixels: no published protocol says more. Another kind of network needs other lines here,
    and only here.
    """
    layers, architecture = layers_of(card), card.architecture
    if layer is not None and layer not in layers:
        raise InputError(f"layer {layer} is none of this network's: choose from {layers[0]} to {layers[-1]}")
    own = layer or layers[-1]
    if isinstance(architecture, TimmArchitecture) and architecture.hierarchical:

        def stage(images: torch.Tensor) -> torch.Tensor:
            return module.stage_maps(images)[STAGE].permute(0, 2, 3, 1)

        return Encoder(stage, architecture.strides[STAGE], card.mean, card.std, architecture.patch_size, own)
    if architecture.kind != "resnet":
        tokens = module.patch_tokens if own == layers[-1] else _block_tokens(module, own)
        return Encoder(tokens, architecture.patch_size, card.mean, card.std, layer=own)
    module = copy.deepcopy(module)
    for part in module.layer3.modules():
        if isinstance(part, nn.Conv2d):
            part.stride = (1, 1)

    def map_of_stage(images: torch.Tensor) -> torch.Tensor:
        (maps,) = module.forward_intermediates(images, indices=[STAGE], intermediates_only=True)
        return maps.permute(0, 2, 3, 1)

    return Encoder(map_of_stage, RESNET_STRIDE, card.mean, card.std, multiple=1, layer=STAGE + 1)


def in_bf16(encoder: Encoder, device: torch.device) -> Encoder:
    """``encoder`` computing in bf16, for a GPU that has matrix units for it; no published protocol does so."""

    def tokens(images: torch.Tensor) -> torch.Tensor:
        with torch.autocast(device.type, torch.bfloat16):
            return encoder.tokens(images).float()

    return dataclasses.replace(encoder, tokens=tokens, precision="bf16")


def layers_of(card: Card) -> range:
    """The layers that a network can be judged at, counted from 1; the last is the default.

    A network with stages has one, its third stage; so has somebody's own, whose layers nobody knows.
    """
    architecture = card.architecture
    if architecture.kind == "resnet" or getattr(architecture, "hierarchical", False):
        return range(STAGE + 1, STAGE + 2)
    return range(1, getattr(architecture, "depth", 1) + 1)


def _block_tokens(module: Any, layer: int) -> Callable[[torch.Tensor], torch.Tensor]:
    def tokens(images: torch.Tensor) -> torch.Tensor:
        (found,) = module.forward_intermediates(
            images, indices=[layer - 1], norm=True, stop_early=True, output_fmt="NLC", intermediates_only=True
        )
        return found

    return tokens
