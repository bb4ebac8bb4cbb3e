"""Multi-stage training: where an encoder of an earlier stage, frozen, would look."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from benchmarks.backbones.loading import load_exactly
from benchmarks.backbones.vit import HouseViT
from benchmarks.checkpoints.canonical import read_canonical
from benchmarks.checkpoints.card import Architecture, Card
from benchmarks.checkpoints.convert import canonical
from benchmarks.errors import InputError
from pretrain.config import ModelConfig, PreviousConfig
from pretrain.meanshift import select_queries, sharp_attention


class PreviousStage(nn.Module):
    """The first blocks of a ViT, run on patch tokens alone and without a final norm, as the published code does.

    A class token of the checkpoint is left out, with its row of the position table.
    """

    def __init__(
        self, tensors: dict[str, torch.Tensor], card: Card, blocks: int, temperature: float, sharpness: float
    ) -> None:
        super().__init__()
        own = card.vit
        rows = own.position_prefix_rows
        kept = {name: tensor for name, tensor in tensors.items() if name not in ("cls_token", "reg_token")}
        kept["pos_embed"] = kept["pos_embed"][:, rows:]
        architecture = dataclasses.replace(own, class_token=False, registers=0, position_prefix_rows=0)
        self.encoder = HouseViT(architecture, card.resize)
        load_exactly(self.encoder, kept, where="previous.checkpoint")
        self.encoder.blocks = self.encoder.blocks[:blocks]
        self.encoder.norm = nn.Identity()
        self.temperature, self.sharpness = temperature, sharpness
        self.requires_grad_(False).eval()

    @torch.no_grad()
    def attention(self, plain: Sequence[torch.Tensor], queries: list[torch.Tensor]) -> list[torch.Tensor]:
        """Teacher's crop ``[B, ..]`` and student's crops ``[V*B, ..]``, not augmented -> ``[V*B, Q, N]`` a size."""
        points = self.encoder.patch_tokens(plain[0])
        found = []
        for images, chosen in zip(plain[1:], queries, strict=True):
            tokens = select_queries(self.encoder.patch_tokens(images), chosen)
            found.append(sharp_attention(tokens, points, self.temperature, self.sharpness))
        return found


def load_previous_stage(config: PreviousConfig, model: ModelConfig, cache_dir: Path) -> PreviousStage | None:
    """The encoder that the config names, or None; :class:`InputError` when its tokens would not fit the model's."""
    if not config.checkpoint:
        return None
    tensors, card = read_canonical(canonical(config.checkpoint, config.heads or None, cache_dir))
    a = card.architecture
    if not isinstance(a, Architecture):
        raise InputError(f"{config.checkpoint} is a {a.kind} network: a previous stage is a ViT of the house")
    if a.patch_size != model.patch_size:
        raise InputError(
            f"{config.checkpoint} has patch size {a.patch_size}, the model {model.patch_size}: "
            "a previous stage must have the same tokens"
        )
    if config.blocks > a.depth:
        raise InputError(f"{config.checkpoint} has {a.depth} blocks, previous.blocks asks for {config.blocks}")
    return PreviousStage(tensors, card, config.blocks, config.temperature, config.sharpness)
