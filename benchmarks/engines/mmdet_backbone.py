"""mmdet's view of canonical checkpoints: its backbones.

Importing this module imports mmdet; :mod:`benchmarks.engines.mmdet` does so when a run starts.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import nn

from benchmarks.backbones.fine_tuning import prepare, prepared_card, recompute, take_off
from benchmarks.backbones.loading import build, load_exactly, weight_differences
from benchmarks.backbones.patches import nearest_stride, on_padded
from benchmarks.backbones.pyramid import FourTapPyramid, default_taps
from benchmarks.backbones.timm_network import TimmNetwork
from benchmarks.checkpoints.card import Architecture, Card, ResNetArchitecture
from benchmarks.errors import InputError

NORMS = {"SyncBN": nn.SyncBatchNorm, "BN": nn.BatchNorm2d}


class CanonicalBackbone(BaseModule):
    """What all backbones of a canonical checkpoint share: ``self.network`` gets every tensor of the file, no other.

    A subclass names its network by ``holder``, so that parameter names say what they belong to.

    Args:
        checkpoint: canonical ``.safetensors``.
        num_heads: None takes the card's. Another number is "as released" of configs that got it wrong; no
            shape tells, so it is only ever set on purpose.
        frozen: leave the network as it is and train what follows.
        patches: what becomes of patches that fit no stride (:mod:`benchmarks.backbones.patches`).
    """

    holder: str

    def __init__(
        self,
        checkpoint: str,
        num_heads: int | None = None,
        frozen: bool = False,
        patches: str = "resample",
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.checkpoint, self.frozen, self.patches, self.num_heads = checkpoint, frozen, patches, num_heads
        self.card = self._with_heads(prepared_card(checkpoint, patches))

    @property
    def network(self) -> nn.Module:
        return getattr(self, self.holder)

    def _with_heads(self, card: Card) -> Card:
        if self.num_heads is None:
            return card
        if not isinstance(card.architecture, Architecture):
            raise InputError(f"{self.checkpoint} is a {card.architecture.kind}, whose heads cannot be chosen")
        return dataclasses.replace(card, architecture=dataclasses.replace(card.architecture, num_heads=self.num_heads))

    def init_weights(self) -> None:
        """Load the canonical tensors, all of them."""
        load_exactly(self.network, self.expected(), self.checkpoint)
        self._is_init = True

    def expected(self) -> dict[str, torch.Tensor]:
        """The tensors that the network must hold before the first step."""
        return prepare(self.checkpoint, self.patches).tensors

    def differences(self) -> list[str]:
        """What keeps the network from being exactly the file's."""
        return weight_differences(self.network, self.expected())

    def train(self, mode: bool = True) -> CanonicalBackbone:
        super().train(mode)
        if self.frozen:
            self.network.eval()
        return self


@MODELS.register_module()
class CanonicalViT(CanonicalBackbone):
    """The ViT of a canonical checkpoint, of the house or of timm's own class, under the four-tap pyramid.

    Args:
        taps: four block indices, rising; None takes :func:`default_taps`.
        drop_path_rate: of the last block, rising linearly from 0.
        norm: ``SyncBN`` or, in one process without a GPU, ``BN``.
        checkpointing: recompute activations in the backward pass.
        options: as of :class:`CanonicalBackbone`.
    """

    holder = "vit"

    def __init__(
        self,
        checkpoint: str,
        taps: list[int] | None = None,
        drop_path_rate: float = 0.0,
        norm: str = "SyncBN",
        checkpointing: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(checkpoint, **options)
        a: Any = self.card.architecture
        if isinstance(a, ResNetArchitecture) or getattr(a, "hierarchical", False):
            raise InputError(f"{checkpoint} is a {a.kind} of stages, but this detector is for a ViT")
        self.vit = build(self.card, drop_path_rate)
        self.taps = list(taps or default_taps(a.depth))
        # timm gives the maps of the blocks that are named, each once and in the blocks' order.
        if len(self.taps) != 4 or self.taps != sorted({*self.taps} & {*range(a.depth)}):
            raise InputError(
                f"taps {self.taps} do not name four of the {a.depth} blocks of {checkpoint} in their order"
            )
        self.patch = a.patch_size
        self.pyramid = FourTapPyramid(a.embed_dim, nearest_stride(self.patch), NORMS[norm])
        # The taps are raw: the final norm takes no part in training. Positions do, fixed ones of the pretraining too,
        # as in the published detector.
        take_off(self.vit, self.frozen)
        if checkpointing and not self.frozen:
            recompute(self.vit)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Images ``[B, 3, H, W]``, sides multiples of 32 -> four maps of strides 4, 8, 16, 32."""
        return self.pyramid(on_padded(self._tapped, images, self.patch))

    def _tapped(self, images: torch.Tensor) -> list[torch.Tensor]:
        return self.vit.forward_intermediates(images, indices=self.taps, norm=False, intermediates_only=True)


@MODELS.register_module()
class CanonicalStages(CanonicalBackbone):
    """A ResNet, ConvNeXt or Swin of a canonical checkpoint: the raw maps of its four stages, all layers trained.

    Args:
        drop_path_rate: of timm's networks; a ResNet has none.
        norm: ``SyncBN`` turns batch norms into synchronised ones; ``BN`` leaves them.
        checkpointing: recompute activations in the backward pass.
        options: as of :class:`CanonicalBackbone`.
    """

    holder = "stages"

    def __init__(
        self,
        checkpoint: str,
        drop_path_rate: float = 0.0,
        norm: str = "SyncBN",
        checkpointing: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(checkpoint, **options)
        a = self.card.architecture
        if not isinstance(a, ResNetArchitecture) and not getattr(a, "hierarchical", False):
            raise InputError(f"{checkpoint} is a {a.kind} of one stride, but this detector is for networks of stages")
        network = build(self.card, drop_path_rate)
        if norm == "SyncBN":
            network = nn.SyncBatchNorm.convert_sync_batchnorm(network)
        setattr(self, self.holder, network)
        take_off(network, self.frozen)
        if checkpointing and not self.frozen:
            recompute(network)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Images ``[B, 3, H, W]`` -> four maps of strides 4, 8, 16, 32."""
        network: Any = self.network
        return tuple(network.stage_maps(images) if isinstance(network, TimmNetwork) else network.stages(images))


@MODELS.register_module()
class CanonicalResNet(CanonicalStages):
    """:class:`CanonicalStages` for a ResNet alone, under the name that its published detectors' parameters have."""

    holder = "resnet"

    def __init__(self, checkpoint: str, **options: Any) -> None:
        super().__init__(checkpoint, **options)
        if not isinstance(self.card.architecture, ResNetArchitecture):
            raise InputError(f"{checkpoint} is a {self.card.architecture.kind}, but this detector is for a ResNet")
