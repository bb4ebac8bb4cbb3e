"""ViTDet for mmdet, of the house's parts: windowed ViT, simple pyramid, layer decay, and crops along the diagonal.

Importing this module imports mmdet; the configs of ViTDet name it in their ``custom_imports``.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from mmcv.transforms.utils import cache_randomness
from mmdet.datasets.transforms import RandomCrop
from mmdet.registry import MODELS, OPTIM_WRAPPER_CONSTRUCTORS, TRANSFORMS
from mmengine.optim import DefaultOptimWrapperConstructor
from torch import nn

from benchmarks.backbones.simple_pyramid import ChannelNorm, SimplePyramid
from benchmarks.backbones.windowed import WINDOW, WindowedViT
from benchmarks.checkpoints.canonical import read_canonical
from benchmarks.engines.mmdet_backbone import CanonicalBackbone, vit_of
from benchmarks.errors import InputError

MODELS.register_module(module=ChannelNorm)


@MODELS.register_module()
class CanonicalViTDet(CanonicalBackbone):
    """The house ViT of a canonical checkpoint with windows; relative positions start at zero.

    Args:
        checkpoint: canonical ``.safetensors``.
        image_size: side of the square images of training, in pixels; it sets the length of the relative positions.
        relative_positions: whether there are any.
        num_heads, drop_path_rate, frozen: as in :class:`benchmarks.engines.mmdet_backbone.CanonicalViT`.
        window: side of the windows in tokens, 0 for none.
    """

    holder = "vit"

    def __init__(
        self,
        checkpoint: str,
        image_size: int = 1024,
        relative_positions: bool = False,
        num_heads: int | None = None,
        drop_path_rate: float = 0.0,
        window: int = WINDOW,
        frozen: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(checkpoint, frozen, init_cfg)
        architecture, resize = vit_of(checkpoint, num_heads)
        if image_size % architecture.patch_size:
            raise InputError(
                f"images of {image_size} pixels are no whole number of patches of {architecture.patch_size}, which "
                f"ViTDet needs: use Table 1's detector for {checkpoint}"
            )
        relative = image_size // architecture.patch_size if relative_positions else None
        self.vit = WindowedViT(architecture, resize, drop_path_rate, window, relative=relative)
        # ViTDet has neither final norm nor class token.
        for unused in (self.vit.norm, self.vit.cls_token, self.vit.reg_token):
            if unused is not None:
                unused.requires_grad_(False)
        if frozen:
            for name, parameter in self.vit.named_parameters():
                parameter.requires_grad_(".rel_pos_" in name)

    def expected(self) -> dict[str, torch.Tensor]:
        """The file's tensors, and zeros for relative positions."""
        own = {name: torch.zeros_like(value) for name, value in self.vit.state_dict().items() if ".rel_pos_" in name}
        return {**read_canonical(self.checkpoint)[0], **own}

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor]:
        """Images ``[B, 3, H, W]`` -> one map of the patch size's stride."""
        return (self.vit(images),)


@MODELS.register_module()
class SimplePyramidNeck(SimplePyramid):
    """:class:`SimplePyramid` as a neck: a tuple of one map -> five maps."""

    def __init__(self, in_channels: int, patch: int = 16, out_channels: int = 256) -> None:
        super().__init__(in_channels, patch, out_channels)

    def forward(self, inputs: tuple[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        return super().forward(inputs[0])


def lr_factor(name: str, depth: int, rate: float) -> float:
    """ViTDet's factor for a parameter of the detector: ``rate`` once for each layer above it.

    Positions and patch embedding are layer 0, block ``i`` is layer ``i + 1``, everything else is ``depth + 1``.
    Source: facebookresearch/detectron2, ``get_vit_lr_decay_rate``.
    """
    layer = depth + 1
    if name.startswith("backbone."):
        if ".pos_embed" in name or ".patch_embed" in name:
            layer = 0
        elif ".blocks." in name:
            layer = int(name.split(".blocks.")[1].split(".")[0]) + 1
    return rate ** (depth + 1 - layer)


def parameter_settings(model: nn.Module, depth: int, rate: float) -> Iterator[tuple[str, nn.Parameter, float, bool]]:
    """Every trained parameter once: its name, itself, its learning rate's factor, whether its weight decays.

    torch's norms and the position table do not decay; biases, relative positions and channel norms do, as in
    detectron2, whose rule goes by type.
    """
    norms = (nn.LayerNorm, nn.GroupNorm, nn.modules.batchnorm._BatchNorm)
    seen: set[nn.Parameter] = set()
    for prefix, module in model.named_modules():
        for own, parameter in module.named_parameters(recurse=False):
            if parameter.requires_grad and parameter not in seen:
                seen.add(parameter)
                name = f"{prefix}.{own}" if prefix else own
                decays = not isinstance(module, norms) and own != "pos_embed"
                yield name, parameter, lr_factor(name, depth, rate), decays


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class LayerDecay(DefaultOptimWrapperConstructor):
    """Groups of parameters by :func:`parameter_settings`, with the ``rate`` of ``paramwise_cfg``."""

    def add_params(self, params: list[dict], module: nn.Module, **_) -> None:
        groups: dict[tuple[float, bool], dict] = {}
        depth = len(module.backbone.vit.blocks)
        for _name, parameter, factor, decays in parameter_settings(module, depth, self.paramwise_cfg["rate"]):
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
