"""mmdet's view of canonical checkpoints: its backbones.

Importing this module imports mmdet; :mod:`benchmarks.engines.mmdet` does so when a run starts.
"""

from __future__ import annotations

import dataclasses

import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import nn

from benchmarks.backbones.loading import load_exactly, weight_differences
from benchmarks.backbones.pyramid import FourTapPyramid, default_taps
from benchmarks.backbones.resnet import HouseResNet
from benchmarks.backbones.vit import HouseViT
from benchmarks.checkpoints.canonical import read_canonical
from benchmarks.checkpoints.card import Architecture, ResNetArchitecture
from benchmarks.errors import InputError

NORMS = {"SyncBN": nn.SyncBatchNorm, "BN": nn.BatchNorm2d}


class CanonicalBackbone(BaseModule):
    """What all backbones of a canonical checkpoint share: ``self.network`` gets every tensor of the file, no other.

    A subclass names its network by ``holder``, so that parameter names say what they belong to.
    """

    holder: str

    def __init__(self, checkpoint: str, frozen: bool = False, init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        self.checkpoint, self.frozen = checkpoint, frozen

    @property
    def network(self) -> nn.Module:
        return getattr(self, self.holder)

    def init_weights(self) -> None:
        """Load the canonical tensors, all of them."""
        load_exactly(self.network, self.expected(), self.checkpoint)
        self._is_init = True

    def expected(self) -> dict[str, torch.Tensor]:
        """The tensors that the network must hold before the first step."""
        return read_canonical(self.checkpoint)[0]

    def differences(self) -> list[str]:
        """What keeps the network from being exactly the file's."""
        return weight_differences(self.network, self.expected())

    def train(self, mode: bool = True) -> CanonicalBackbone:
        super().train(mode)
        if self.frozen:
            self.network.eval()
        return self


def vit_of(checkpoint: str, num_heads: int | None) -> tuple[Architecture, object]:
    """Architecture and resize rule of a ViT checkpoint, with the number of heads that was asked for."""
    _, card = read_canonical(checkpoint)
    if not isinstance(card.architecture, Architecture):
        raise InputError(f"{checkpoint} is a {card.architecture.kind}, but this detector is for a ViT")
    return dataclasses.replace(card.architecture, num_heads=num_heads or card.architecture.num_heads), card.resize


@MODELS.register_module()
class CanonicalViT(CanonicalBackbone):
    """The house ViT of a canonical checkpoint under the four-tap pyramid.

    Args:
        checkpoint: canonical ``.safetensors``.
        taps: four block indices; None takes :func:`default_taps`.
        num_heads: None takes the card's. Another number is "as released" of configs that got it wrong; no
            shape tells, so it is only ever set on purpose.
        drop_path_rate: of the last block, rising linearly from 0.
        norm: ``SyncBN`` or, in one process without a GPU, ``BN``.
        frozen: leave the ViT as it is and train the pyramid and what follows.
    """

    holder = "vit"

    def __init__(
        self,
        checkpoint: str,
        taps: list[int] | None = None,
        num_heads: int | None = None,
        drop_path_rate: float = 0.0,
        norm: str = "SyncBN",
        frozen: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(checkpoint, frozen, init_cfg)
        architecture, resize = vit_of(checkpoint, num_heads)
        self.vit = HouseViT(architecture, resize, drop_path_rate)
        self.taps = list(taps or default_taps(architecture.depth))
        if len(self.taps) != 4 or not all(0 <= tap < architecture.depth for tap in self.taps):
            raise InputError(f"taps {self.taps} do not name four of the {architecture.depth} blocks of {checkpoint}")
        self.pyramid = FourTapPyramid(architecture.embed_dim, architecture.patch_size, NORMS[norm])
        # The taps are raw: the final norm takes no part in training. Positions do, fixed ones of the pretraining too,
        # as in the published detector.
        self.vit.norm.requires_grad_(False)
        if frozen:
            self.vit.requires_grad_(False)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Images ``[B, 3, H, W]``, sides multiples of 32 -> four maps of strides 4, 8, 16, 32."""
        height, width = images.shape[-2:]
        step = self.pyramid.multiple  # 32 where the patch divides it, so that nothing is padded
        whole = F.pad(images, (0, -width % step, 0, -height % step))
        taps = self.vit.forward_intermediates(whole, indices=self.taps, norm=False, intermediates_only=True)
        return self.pyramid(taps, (height, width))


@MODELS.register_module()
class CanonicalResNet(CanonicalBackbone):
    """The house ResNet of a canonical checkpoint: the maps of its four stages, all layers trained.

    Args:
        checkpoint: canonical ``.safetensors``.
        norm: ``SyncBN`` turns its batch norms into synchronised ones; ``BN`` leaves them.
        frozen: leave the network as it is, statistics too.
    """

    holder = "resnet"

    def __init__(
        self, checkpoint: str, norm: str = "SyncBN", frozen: bool = False, init_cfg: dict | None = None
    ) -> None:
        super().__init__(checkpoint, frozen, init_cfg)
        _, card = read_canonical(checkpoint)
        if not isinstance(card.architecture, ResNetArchitecture):
            raise InputError(f"{checkpoint} is a {card.architecture.kind}, but this detector is for a ResNet")
        self.resnet = HouseResNet(card.architecture)
        if norm == "SyncBN":
            self.resnet = nn.SyncBatchNorm.convert_sync_batchnorm(self.resnet)
        if frozen:
            self.resnet.requires_grad_(False)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Images ``[B, 3, H, W]`` -> four maps of strides 4, 8, 16, 32."""
        return tuple(self.resnet.stages(images))
