"""State dicts in timm's names that name no method: what they do tell, and what makes them ambiguous.

The method is unknown, the number of heads is asked for, and positions are resized as the programs do that write such a
container. Names that stand for several networks among timm's are refused with what cannot be told; ``--architecture``
then says it. A comparison with every ViT of timm 1.0.31 (tests/test_timm_sweep.py) holds this list complete.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from benchmarks.checkpoints.card import ANTIALIAS_RESIZE, DINO_RESIZE, SIZE_RESIZE
from benchmarks.checkpoints.container import Opened
from benchmarks.checkpoints.formats.family import (
    DINO_PLACES,
    WHOLE_FILE,
    Facts,
    Family,
    Place,
    Taken,
    is_square,
    rows_of,
    table,
)
from benchmarks.checkpoints.formats.timm import DINOV3_BASE, DROPS, PLACES
from benchmarks.checkpoints.positions import position_kind
from benchmarks.errors import InputError

OF_EVA = ("attn.q_bias", "attn.q_proj.weight", "mlp.fc1_g.weight", "gamma_1")


class Bare(Family):
    """Base: timm's names and a position table, without a word on the method."""

    licence = "unknown (the file does not name its method)"
    known = "unknown"
    resize = DINO_RESIZE
    drops = table({**DROPS, r"mask_token$": "mask token", r"masked_embed$": "mask token"})

    def recognises(self, opened: Opened, taken: Taken) -> bool:
        return rows_of(taken) is not None or is_dinov3_of_timm(taken.tensors)

    def facts(self, opened: Opened, taken: Taken) -> Facts:
        refuse_ambiguous(taken.tensors)
        facts = super().facts(opened, taken)
        names = taken.tensors
        facts.odd_class_row = "reg_token" in names  # timm, with registers: the class token holds its row
        if is_dinov3_of_timm(names):
            patch = names["patch_embed.proj.weight"].shape[-1]
            facts.learn("layout", eps=1e-5, rope_base=DINOV3_BASE, image_size=max(224 // patch, 1) * patch)
        if "fc_norm.weight" in names:
            taken.notes.append("this network norms the pooled vector; its tokens are raw")
        taken.notes.append(
            "nothing in the file names its method; eps and the way positions are resized are its layout's"
        )
        return facts


class BareTimm(Bare):
    """A whole file that cannot be DINO's: with a classifier, or safetensors, which DINO never wrote."""

    method, rank = "unknown (layout timm)", 85
    places, resize = PLACES, ANTIALIAS_RESIZE

    def recognises(self, opened: Opened, taken: Taken) -> bool:
        if taken.place.branch != WHOLE_FILE or opened.config is not None:
            return False
        marked = any(name in taken.tensors for name in ("head.weight", "fc_norm.weight"))
        return (opened.safetensors or marked or is_dinov3_of_timm(taken.tensors)) and super().recognises(opened, taken)


class BareDeit(Bare):
    """``{'model': timm names}``, as DeiT's programs write it; they resize by size."""

    method, rank = "unknown (layout DeiT)", 88
    places, resize = (Place("model", ("model",)),), SIZE_RESIZE


class BareIbot(Bare):
    """``{'state_dict': timm names}`` and nothing else, as iBOT's published backbones."""

    method, rank = "unknown (layout iBOT)", 90

    def recognises(self, opened: Opened, taken: Taken) -> bool:
        alone = isinstance(opened.content, dict) and set(opened.content) == {"state_dict"}
        return alone and not taken.place.prefix and super().recognises(opened, taken)


class BareDino(Bare):
    """Everything else in these names: DINO's bare backbones, Leopart's, NeCo's on DINO, and many others."""

    method, rank, places = "unknown (layout DINO)", 95, DINO_PLACES


def is_dinov3_of_timm(names: Mapping[str, torch.Tensor]) -> bool:
    """timm's DINOv3: no table, class token and registers; its other rotary ViTs with registers have no class token."""
    marks = ("cls_token", "reg_token", "blocks.0.gamma_1", "norm.weight")
    return "pos_embed" not in names and all(mark in names for mark in marks)


def refuse_ambiguous(names: Mapping[str, torch.Tensor]) -> None:
    """:class:`InputError` when several networks have these names and no tensor tells which this is."""
    unknown = []
    learned = "pos_embed" in names and not _has_fixed_table(names)
    of_eva = [name for name in OF_EVA if f"blocks.0.{name}" in names]
    if of_eva and not is_dinov3_of_timm(names):
        unknown.append(f"rotary positions and the place of the norms ({of_eva[0]} is of EVA and BEiT)")
    if "cls_token" not in names and learned and "blocks.0.ls1.gamma" not in names:
        if "norm.weight" in names:
            unknown.append("the activation (gelu, or SigLIP2's gelu-tanh)")
        if "fc_norm.weight" in names and "blocks.0.attn.qkv.bias" not in names:
            unknown.append("the place of the norms (before or after each branch)")
    if "dist_token" in names:
        unknown.append("nothing but the constructor's arguments (a DeiT with a distillation token)")
    if "norm_pre.weight" in names:
        unknown.append("the activation (gelu or quick-gelu) and rotary positions (CLIP or PE)")
    table = names.get("pos_embed")
    if table is not None and table.ndim == 3:
        own = ("cls_token" in names) + (names["reg_token"].shape[1] if "reg_token" in names else 0)
        if not is_square(table.shape[1]) and own > 1 and is_square(table.shape[1] - own):
            unknown.append("whose the rows before the patches in the position table are")
        if "cls_token" not in names and "reg_token" in names and not is_square(table.shape[1]):
            unknown.append("whether the registers have rows in the position table")
    if unknown:
        raise InputError(
            f"method unknown: no tensor tells {', and '.join(unknown)}; several networks have these names. Give the "
            "folder with its config.json, or timm's name of the network with --architecture"
        )


def _has_fixed_table(names: Mapping[str, torch.Tensor]) -> bool:
    """Whether the position table is a computed one, which only plain ViTs with gelu have (MAE, I-JEPA, FLSL)."""
    table = names["pos_embed"]
    if table.ndim != 3 or not table.is_floating_point() or not is_square(table.shape[1]):
        return False
    return position_kind(table, table[:, :0]) != "learned"


FAMILIES = (BareTimm(), BareDeit(), BareIbot(), BareDino())
