"""FLSL (ISL-CV/FLSL, and ``python -m pretrain``): no class row in the position table.

Variants: norm in the backbone, norm on the modes (wrapper-level ``norm.*``), no norm; a full training file, one
branch of it, or the bare backbone. The published code builds its ViT with a class token and never uses it.
"""

from __future__ import annotations

import torch

from benchmarks.checkpoints.container import Opened
from benchmarks.checkpoints.formats.dino import HEAD
from benchmarks.checkpoints.formats.family import Facts, Family, Taken, is_square, rows_of, saved_arguments, table
from benchmarks.checkpoints.positions import sincos_mae

ARGUMENTS = ("layernorm_on_mode", "sin_cos_pos_emb", "random_pooling_window")


class Flsl(Family):
    method, licence, rank = "FLSL", "MIT (FLSL)", 30
    needs = ("flsl_loss",)
    drops = HEAD
    heads_by_width = table({192: 3, 384: 6, 768: 12})

    def recognises(self, opened: Opened, taken: Taken) -> bool:
        if super().recognises(opened, taken) or any(name in saved_arguments(opened) for name in ARGUMENTS):
            return True
        if "dino_loss" in opened.content:  # the control of ``python -m pretrain``: the network is FLSL's, the loss not
            return False
        rows = rows_of(taken)
        if rows is None or not is_square(rows) or is_square(rows - 1) or taken.place.branch == "model":
            return False
        # A bare file. A fixed table and a class token without a row in it is what FLSL's program alone leaves.
        return "cls_token" in taken.tensors and _has_fixed_table(taken)

    def prepare(self, opened: Opened, taken: Taken) -> None:
        if "cls_token" in taken.tensors:
            taken.drop("cls_token", "saved, but neither trained nor used by FLSL")
        arguments = saved_arguments(opened)
        if arguments.get("final_norm") == "modes" or arguments.get("layernorm_on_mode") is True:
            taken.notes.append("the final norm was trained on the modes, not on the tokens")

    def facts(self, opened: Opened, taken: Taken) -> Facts:
        facts = super().facts(opened, taken)
        if not super().recognises(opened, taken):
            taken.notes.append("the file does not name its method; it has the layout of FLSL's backbone")
            facts.provenance["method"] = "layout"
        return facts


def _has_fixed_table(taken: Taken) -> bool:
    table = taken.tensors["pos_embed"]
    rows, width = table.shape[1:]
    if width % 4 or not table.is_floating_point():
        return False
    return torch.allclose(table.float(), sincos_mae(width, round(rows**0.5)), atol=1e-4)


FAMILIES = (Flsl(),)
