"""ViTDet for mmdet, of the house's parts: windowed ViT, simple pyramid, layer decay, and crops along the diagonal.

Importing this module imports mmdet; the configs of ViTDet name it in their ``custom_imports``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from mmcv.transforms.utils import cache_randomness
from mmdet.datasets.transforms import RandomCrop
from mmdet.registry import MODELS, OPTIM_WRAPPER_CONSTRUCTORS, TRANSFORMS
from mmengine.optim import DefaultOptimWrapperConstructor

from benchmarks.backbones.fine_tuning import recompute, take_off
from benchmarks.backbones.layer_decay import parameter_settings
from benchmarks.backbones.patches import on_padded
from benchmarks.backbones.simple_pyramid import ChannelNorm, SimplePyramid
from benchmarks.backbones.windowed import WINDOW, WindowedViT
from benchmarks.engines.adaptation import vitdet_options
from benchmarks.engines.mmdet_backbone import CanonicalBackbone

MODELS.register_module(module=ChannelNorm)


@MODELS.register_module()
class CanonicalViTDet(CanonicalBackbone):
    """The house ViT of a canonical checkpoint with windows; relative positions start at zero.

    Args:
        checkpoint: canonical ``.safetensors``.
        image_size: side of the square images of training, in pixels; it sets the length of the relative positions.
        relative_positions: whether there are any.
        drop_path_rate: of the last block, rising linearly from 0.
        window: side of the windows in tokens, 0 for none.
        prefix_tokens: whether class token and registers come along; None: registers do
            (:func:`benchmarks.engines.adaptation.keeps_prefix`).
        global_attention: whether the last block of every quarter sees the whole map; False: all are in windows.
        checkpointing: recompute activations in the backward pass.
        options: as of :class:`benchmarks.engines.mmdet_backbone.CanonicalBackbone`.
    """

    holder = "vit"

    def __init__(
        self,
        checkpoint: str,
        image_size: int = 1024,
        relative_positions: bool = False,
        drop_path_rate: float = 0.0,
        window: int = WINDOW,
        prefix_tokens: bool | None = None,
        global_attention: bool = True,
        checkpointing: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(checkpoint, **options)
        own = vitdet_options(
            self.card,
            image_size,
            relative_positions,
            drop_path_rate,
            window,
            prefix_tokens,
            checkpoint,
            global_attention,
        )
        self.vit = WindowedViT(**own)
        take_off(self.vit, False, self.vit.prefix)
        if self.frozen:
            for name, parameter in self.vit.named_parameters():
                parameter.requires_grad_(".rel_pos_" in name)
        elif checkpointing:
            recompute(self.vit)

    def expected(self) -> dict[str, torch.Tensor]:
        """The file's tensors, and zeros for relative positions."""
        own = {name: torch.zeros_like(value) for name, value in self.vit.state_dict().items() if ".rel_pos_" in name}
        return {**super().expected(), **own}

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Images ``[B, 3, H, W]`` -> one map of the stride nearest to the patch's size."""
        return tuple(on_padded(lambda whole: [self.vit(whole)], images, self.vit.architecture.patch_size))


@MODELS.register_module()
class SimplePyramidNeck(SimplePyramid):
    """:class:`SimplePyramid` as a neck: a tuple of one map -> five maps."""

    def __init__(self, in_channels: int, patch: int = 16, out_channels: int = 256) -> None:
        super().__init__(in_channels, patch, out_channels)

    def forward(self, inputs: tuple[torch.Tensor]) -> tuple[torch.Tensor, ...]:  # type: ignore[override]
        return super().forward(inputs[0])


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class LayerDecay(DefaultOptimWrapperConstructor):
    """Groups of parameters by :func:`parameter_settings`, with the ``rate`` of ``paramwise_cfg``."""

    def add_params(self, params: list[dict], module: Any, **_) -> None:
        groups: dict[tuple[float, bool], dict] = {}
        depth = len(module.backbone.vit.blocks)
        rate, all_decay = self.paramwise_cfg["rate"], self.paramwise_cfg.get("all_decay", False)
        for _name, parameter, factor, decays in parameter_settings(module, depth, rate, all_decay):
            decay = self.base_wd if decays else 0.0
            group = {"params": [], "lr": self.base_lr * factor, "weight_decay": decay}
            groups.setdefault((factor, decays), group)["params"].append(parameter)
        params.extend(groups.values())


@TRANSFORMS.register_module()
class DiagonalCrop(RandomCrop):
    """A crop whose two offsets are one draw, as detectron2's ``FixedSizeCrop``: crops slide along the diagonal."""

    @cache_randomness
    def _rand_offset(self, margin: tuple[int, int]) -> tuple[int, int]:
        place = np.random.uniform()
        return round(place * margin[0]), round(place * margin[1])
