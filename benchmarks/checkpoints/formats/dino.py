"""DINO (facebookresearch/dino): the bare backbone, or the trainer's file with teacher and student."""

from __future__ import annotations

from typing import Any

import torch

from benchmarks.checkpoints.formats.vit_facts import Described, describe_dino_like


def recognises(content: Any, tensors: dict[str, torch.Tensor]) -> bool:
    """A ViT with timm names and a class row in its position table."""
    table = tensors.get("pos_embed")
    return (
        table is not None and "cls_token" in tensors and round((table.shape[1] - 1) ** 0.5) ** 2 + 1 == table.shape[1]
    )


def describe(content: Any, tensors: dict[str, torch.Tensor], heads: int | None) -> Described:
    dropped = {name: "projection head" for name in tensors if name.startswith("head.")}
    named = isinstance(content, dict) and "dino_loss" in content
    method = "DINO" if named else "DINO layout"
    notes = () if named else ("the file does not name its method; it has the layout of DINO's published backbones",)
    return describe_dino_like(content, tensors, heads, method, "Apache-2.0 (DINO)", dropped, notes)
