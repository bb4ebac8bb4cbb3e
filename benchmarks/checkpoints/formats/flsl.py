"""FLSL (ISL-CV/FLSL, and ``python -m pretrain``): no class row in the position table.

Variants: norm in the backbone, norm on the modes (wrapper-level ``norm.*``), no norm; a full
training file, one branch of it, or the bare backbone.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from benchmarks.checkpoints.formats.vit_facts import Described, describe_dino_like


def recognises(content: Any, tensors: dict[str, torch.Tensor]) -> bool:
    """A ViT with timm names whose position table has a square number of rows: patches alone.

    SelfPatch has this table too, but its heads are its own.
    """
    table = tensors.get("pos_embed")
    if table is None or math.isqrt(table.shape[1]) ** 2 != table.shape[1]:
        return False
    return not any(name.startswith(("ca_head.", "c_head.", "p_head.", "decoder")) for name in tensors)


def describe(content: Any, tensors: dict[str, torch.Tensor], heads: int | None) -> Described:
    dropped = {name: "projection head" for name in tensors if name.startswith("head.")}
    if "cls_token" in tensors:
        dropped["cls_token"] = "saved, but neither trained nor used by FLSL"
    saved = content.get("args") if isinstance(content, dict) else None
    on_modes = saved.get("final_norm") == "modes" if isinstance(saved, dict) else False
    on_modes = on_modes or bool(getattr(saved, "state", None) and saved.state.get("layernorm_on_mode"))
    notes = ("the final norm was trained on the modes, not on the tokens",) if on_modes else ()
    return describe_dino_like(content, tensors, heads, "FLSL", "MIT (FLSL)", dropped, notes)
