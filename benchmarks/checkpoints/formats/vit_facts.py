"""What the tensors of a timm-named ViT say about its architecture, and what they cannot say."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch

from benchmarks.backbones.positions import sincos_mae
from benchmarks.checkpoints.card import DINO_RESIZE, Architecture, ResizeRule
from benchmarks.checkpoints.container import facts_of
from benchmarks.errors import InputError

#: Heads by the architecture's name, as the published DINO and FLSL programs build it.
HEADS_BY_NAME = {"vit_tiny": 3, "vit_small": 6, "vit_base": 12, "deit_tiny": 3, "deit_small": 6}


class Described(NamedTuple):
    """A family's answer: canonical tensors, the card's facts, and why each left-out tensor was left out."""

    method: str
    tensors: dict[str, torch.Tensor]
    architecture: Architecture
    resize: ResizeRule
    licence: str
    provenance: dict[str, str]
    dropped: dict[str, str]  # source name -> reason
    notes: tuple[str, ...] = ()


def heads_of(content: Any, embed_dim: int, heads: int | None) -> tuple[int, str]:
    """The number of heads and where it comes from; :class:`InputError` asks for ``--heads`` when nothing tells."""
    if heads is not None:
        return heads, "user"
    saved = facts_of(content.get("args")) if isinstance(content, dict) else {}
    if isinstance(saved.get("num_heads"), int):
        return saved["num_heads"], "file"
    if saved.get("arch") in HEADS_BY_NAME:
        return HEADS_BY_NAME[saved["arch"]], "file"
    raise InputError(
        f"the number of attention heads of this ViT (width {embed_dim}) is in no tensor and the file does not name "
        "its architecture: give it with --heads (DINO and FLSL: tiny 3, small 6, base 12; MoCo-v3 small: 12)"
    )


def architecture_of(tensors: dict[str, torch.Tensor], heads: int) -> Architecture:
    """Read every fact that shapes tell from canonical tensors."""
    embed_dim, _, patch, patch_w = tensors["patch_embed.proj.weight"].shape
    rows = tensors["pos_embed"].shape[1]
    prefix = next((p for p in (0, 1) if math.isqrt(rows - p) ** 2 == rows - p), None)
    if prefix is None or patch != patch_w:
        raise InputError(f"a position table of {rows} rows with {patch}x{patch_w} patches is no square ViT grid")
    grid = math.isqrt(rows - prefix)
    depth = 1 + max(int(name.split(".")[1]) for name in tensors if name.startswith("blocks."))
    fixed = embed_dim % 4 == 0 and prefix == 0
    fixed = fixed and torch.allclose(tensors["pos_embed"].float(), sincos_mae(embed_dim, grid), atol=1e-5)
    return Architecture(
        embed_dim=embed_dim,
        depth=depth,
        num_heads=heads,
        patch_size=patch,
        image_size=grid * patch,
        mlp_hidden=tensors["blocks.0.mlp.fc1.weight"].shape[0],
        qkv_bias="blocks.0.attn.qkv.bias" in tensors,
        class_token="cls_token" in tensors,
        layer_scale="blocks.0.ls1.gamma" in tensors,
        final_norm="norm.weight" in tensors,
        position="sincos-mae" if fixed else "learned",
        position_prefix_rows=prefix,
    )


def describe_dino_like(
    content: Any,
    tensors: dict[str, torch.Tensor],
    heads: int | None,
    method: str,
    licence: str,
    dropped: dict[str, str],
    notes: tuple[str, ...] = (),
) -> Described:
    """The answer of a family whose backbone is the published DINO's: eps 1e-6, resize with the 0.1 offset."""
    kept = {name: tensor for name, tensor in tensors.items() if name not in dropped}
    if "pos_embed" not in kept or "blocks.0.attn.qkv.weight" not in kept:
        raise InputError(f"this {method} file lacks pos_embed or the blocks of a ViT: only its ViTs are known here")
    number, source = heads_of(content, kept["pos_embed"].shape[-1], heads)
    provenance = {"num_heads": source, "architecture": "inferred"}
    provenance |= dict.fromkeys(("eps", "resize", "mean", "std", "licence"), "table")
    return Described(method, kept, architecture_of(kept, number), DINO_RESIZE, licence, provenance, dropped, notes)
