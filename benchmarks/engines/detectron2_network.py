"""The ViT under detectron2's ViTDet: detectron2's own where it can hold the checkpoint, the house's where it cannot."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from detectron2.modeling import Backbone
from detectron2.modeling.backbone.vit import get_vit_lr_decay_rate
from torch.utils.checkpoint import checkpoint

from benchmarks.backbones.fine_tuning import prepare, prepared_card, recompute, take_off
from benchmarks.backbones.global_blocks import global_blocks
from benchmarks.backbones.layer_decay import lr_factor
from benchmarks.backbones.patches import nearest_stride, on_padded
from benchmarks.backbones.windowed import WindowedViT
from benchmarks.checkpoints.card import Architecture, Card
from benchmarks.checkpoints.targets import for_detectron2
from benchmarks.engines.adaptation import Adaptation, keeps_prefix, vitdet_options
from benchmarks.errors import InputError


class HouseNet(WindowedViT, Backbone):
    """The house's windowed ViT as detectron2's backbone: registers, rotary positions, gated MLPs and norms of queries.

    Its parameters have the names of detectron2's ViT, so that layer decay and decay exceptions find them.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        super().__init__(**options)
        take_off(self, False, self.prefix)
        self._out_features = ["last_feat"]
        self._out_feature_channels = {"last_feat": self.architecture.embed_dim}
        self._out_feature_strides = {"last_feat": nearest_stride(self.architecture.patch_size)}

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:  # type: ignore[override]
        """Images ``[B, 3, H, W]`` -> ``last_feat``, one map of the stride nearest to the patch's size."""
        (found,) = on_padded(lambda whole: [super(HouseNet, self).forward(whole)], images, self.architecture.patch_size)
        return {"last_feat": found}


def house_net(checkpoint: str, patches: str, **options: Any) -> HouseNet:
    """:class:`HouseNet` for a checkpoint; ``options`` as of :func:`benchmarks.engines.adaptation.vitdet_options`."""
    return HouseNet(vitdet_options(prepared_card(checkpoint, patches), where=checkpoint, **options))


def fit(config: Any, source: str | os.PathLike[str], adaptation: Adaptation) -> dict[str, torch.Tensor]:
    """Change ``config`` (a LazyConfig) for a checkpoint; return what its network must hold before the first step.

    Width, depth, heads and position table are the checkpoint's. LayerScale is folded into detectron2's projections.
    """
    tensors, card = prepare(source, adaptation.patches)
    a, net = card.architecture, config.model.backbone.net
    if not isinstance(a, Architecture):
        raise InputError(f"{source} is a {a.kind}, but ViTDet's windows are for a ViT of the house")
    window = net.window_size if adaptation.window is None else adaptation.window
    drop_path = net.drop_path_rate if adaptation.drop_path is None else adaptation.drop_path
    prefix = keeps_prefix(a, adaptation.prefix_tokens)
    if whose(card, prefix, nearest_stride(a.patch_size) == a.patch_size) == "house":
        from detectron2.config import LazyCall

        # The pyramid's config asks the network's for the name of the map, and the house's has none.
        config.model.backbone.in_feature = net.out_feature
        config.model.backbone.net = LazyCall(house_net)(
            checkpoint=str(source),
            patches=adaptation.patches,
            image_size=config.model.backbone.square_pad,
            relative_positions=net.use_rel_pos,
            drop_path_rate=drop_path,
            window=window,
            prefix_tokens=prefix,
        )
        return tensors
    net.embed_dim, net.depth, net.num_heads, net.patch_size = a.embed_dim, a.depth, a.num_heads, a.patch_size
    net.mlp_ratio, net.qkv_bias, net.pretrain_img_size = a.hidden / a.embed_dim, a.qkv_bias, a.image_size
    net.pretrain_use_cls_token = bool(a.position_prefix_rows)
    net.window_size, net.drop_path_rate = window, drop_path
    net.window_block_indexes = [index for index in range(a.depth) if index not in global_blocks(a.depth)]
    wanted, _ = for_detectron2(tensors, card)
    return {name.removeprefix("backbone.net."): tensor for name, tensor in wanted.items()}


def whose(card: Card, prefix: bool, fits: bool = True) -> str:
    """``detectron2`` where its own ViT can hold a network, else ``house``."""
    a = card.vit
    plain = (a.position != "rope", a.mlp == "mlp", not a.qk_norm, a.activation == "gelu", not prefix, fits)
    return "detectron2" if all(plain) and not a.registers and a.eps == 1e-6 else "house"


def layer_decay(model: Any, rate: float) -> partial[float]:
    """The learning rate's factor of a parameter's name: detectron2's function, or ours for the house's network."""
    net = model.backbone.net
    if isinstance(net, HouseNet):
        return partial(lr_factor, depth=len(net.blocks), rate=rate)
    return partial(get_vit_lr_decay_rate, num_layers=len(net.blocks), lr_decay_rate=rate)


def set_recomputing(model: Any) -> None:
    """Recompute the activations of the ViT's blocks in the backward pass. detectron2's own way wants fairscale."""
    net = model.backbone.net
    if isinstance(net, HouseNet):
        recompute(net)
        return
    for block in net.blocks:
        block.forward = partial(checkpoint, block.forward, use_reentrant=False)
