"""Canonical checkpoints written for other programs, by the inverse of the tables that read their files.

``timm``: a flat dict, as safetensors with the card in its metadata. ``mmdet``, ``mmseg``: ``{'state_dict', 'meta'}``
for the house's backbone (ResNets: for their own). ``detectron2``: ``{'model'}`` for its ViTDet or ResNet. ``hf``: a
folder for ``from_pretrained``. What a program cannot hold is refused; what it does otherwise than the method is said in
the notes that come back.
"""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from benchmarks.checkpoints.canonical import write_safetensors
from benchmarks.checkpoints.card import (
    ANTIALIAS_RESIZE,
    SIZE_RESIZE,
    Architecture,
    Card,
    ResizeRule,
    ResNetArchitecture,
    TimmArchitecture,
)
from benchmarks.checkpoints.folding import fold_layer_scale
from benchmarks.checkpoints.formats import huggingface as hf
from benchmarks.checkpoints.formats.layouts import PLAIN, RESNET_DETECTRON2
from benchmarks.checkpoints.formats.openmmlab import CARD_IN_METADATA, HOUSE_PREFIX
from benchmarks.checkpoints.formats.timm import DINOV3_BASE, EVA, EVA_GATED
from benchmarks.checkpoints.names import ZEROS, Layout
from benchmarks.checkpoints.positions import rope_periods
from benchmarks.errors import InputError
from benchmarks.files import atomic_path, write_json

Tensors = dict[str, torch.Tensor]


def write_target(
    target: str, out: str | os.PathLike[str], tensors: Mapping[str, torch.Tensor], card: Card
) -> list[str]:
    """Write canonical ``tensors`` for another program; returns what its user should know.

    ``out`` is a folder for ``hf``, and a file otherwise: ``.safetensors`` (flat), ``.pth``, for ResNets in detectron2
    also ``.pkl``. Raises :class:`InputError` when the program cannot hold the network.
    """
    if isinstance(card.architecture, TimmArchitecture) and target != "timm":
        raise InputError(f"{card.architecture.name} is run by timm's own class: timm is the only target that holds it")
    layout, notes = WRITERS[target](dict(tensors), card)
    if target == "hf":
        tensors, config = layout
        _write_folder(Path(out), tensors, config)
        return notes
    _write_file(Path(out), target, layout, card)
    return notes


def spell(layout: Layout, tensors: Mapping[str, torch.Tensor]) -> Tensors:
    """Canonical tensors under the names of a layout; stacked ones are cut into their parts."""
    named: Tensors = {}
    for name, tensor in tensors.items():
        parts = layout.spell(name)
        if parts is None:
            raise InputError(f"{layout.name} have no place for {name}: this target cannot hold the network")
        for part, piece in zip(parts, tensor.chunk(len(parts)) if len(parts) > 1 else (tensor,), strict=True):
            if part != ZEROS:
                named[part] = piece
            elif piece.any():
                raise InputError(f"{layout.name} have no key bias, but {name} has one: this target cannot hold it")
    return named


def for_timm(tensors: Tensors, card: Card) -> tuple[Tensors, list[str]]:
    """timm's VisionTransformer, or its Eva for rotary positions."""
    a = card.architecture
    if isinstance(a, TimmArchitecture):
        return tensors, [f"timm: create_model({a.name!r}, num_classes=0, **{a.arguments})"]
    if isinstance(a, ResNetArchitecture):
        return tensors, []
    a = card.vit
    notes = _resize_notes("timm", card, ANTIALIAS_RESIZE)
    if a.position == "rope":
        _check_periods(tensors, a, DINOV3_BASE)
        del tensors["rope.periods"]
        if "blocks.0.attn.qkv.bias" in tensors and not any(tensors[n].any() for n in tensors if n.endswith("qkv.bias")):
            tensors = {name: tensor for name, tensor in tensors.items() if not name.endswith("qkv.bias")}
        bias = "vit_*_dinov3_qkvb" if "blocks.0.attn.qkv.bias" in tensors else "vit_*_dinov3"
        return spell(EVA_GATED if a.mlp == "swiglu" else EVA, tensors), [*notes, f"timm: a model of the family {bias}"]
    if a.registers and a.position_prefix_rows:  # timm then has no class row: the token holds it
        table = tensors["pos_embed"]
        tensors["cls_token"] = tensors["cls_token"] + table[:, :1]
        tensors["pos_embed"] = table[:, 1:]
        notes.append("the class row of the position table went into cls_token; features stay as they are")
    if not a.class_token and (a.activation, a.eps, a.mlp, a.qk_norm) == ("gelu", 1e-6, "mlp", False):
        notes.append(f"timm: a .pth is read back with --architecture {_without_class_token(a)}")
    return spell(PLAIN, tensors), notes


def _without_class_token(a: Architecture) -> str:
    """timm's word on a ViT without class token, of which several have the same names (:mod:`.formats.bare`)."""
    arguments: dict[str, float | None] = {"img_size": a.image_size, "patch_size": a.patch_size}
    arguments |= {"embed_dim": a.embed_dim, "depth": a.depth, "num_heads": a.num_heads}
    arguments |= {"mlp_ratio": a.hidden / a.embed_dim, "qkv_bias": a.qkv_bias}
    arguments |= {"init_values": 1.0 if a.layer_scale else None, "reg_tokens": a.registers}
    return ",".join(("vit_base_patch16_siglip_gap_224", *(f"{k}={json.dumps(v)}" for k, v in arguments.items())))


def for_openmmlab(tensors: Tensors, card: Card) -> tuple[Tensors, list[str]]:
    """``backbone.vit.*`` for the house's backbone, ``backbone.*`` for the programs' own ResNet."""
    prefix = "backbone." if isinstance(card.architecture, ResNetArchitecture) else HOUSE_PREFIX
    return {prefix + name: tensor for name, tensor in tensors.items()}, []


def for_detectron2(tensors: Tensors, card: Card) -> tuple[Tensors, list[str]]:
    """detectron2's ViT under ``backbone.net``: no LayerScale, registers, class token or final norm. Or its ResNet."""
    if isinstance(card.architecture, ResNetArchitecture):
        basic = card.architecture.block == "basic"
        notes = ["detectron2: STRIDE_IN_1X1 False, FORMAT RGB, PIXEL_STD, SyncBN"]
        notes += ["detectron2: RESNETS.DEPTH 18 or 34, RES2_OUT_CHANNELS 64"] if basic else []
        return spell(RESNET_DETECTRON2, tensors), notes
    a = card.vit
    for there, what in (
        (a.registers, "register tokens"),
        (a.position == "rope", "rotary positions"),
        (a.mlp == "swiglu", "gated MLPs"),
        (a.qk_norm, "norms of queries and keys"),
        (a.activation != "gelu", f"the activation {a.activation}"),
    ):
        if there:
            raise InputError(f"detectron2's ViT has no {what}, which this network needs: use the target mmdet")
    notes = [f"detectron2: pretrain_use_cls_token={bool(a.position_prefix_rows)}, norm_layer with eps {a.eps:g}"]
    notes += _resize_notes("detectron2", card, SIZE_RESIZE)
    if a.layer_scale:
        tensors = fold_layer_scale(tensors)
        notes.append("LayerScale was folded into attn.proj and mlp.fc2, exact to float rounding")
    left_out = [name for name in tensors if name == "cls_token" or name.startswith("norm.")]
    if left_out:
        notes.append(f"left out, as ViTDet does: {', '.join(left_out)}")
    kept = {name: tensor for name, tensor in tensors.items() if name not in left_out}
    return {f"backbone.net.{name}": tensor for name, tensor in spell(PLAIN, kept).items()}, notes


def for_hf(tensors: Tensors, card: Card) -> tuple[tuple[Tensors, dict[str, Any]], list[str]]:
    """A folder of transformers: ViT, DINOv2 (with registers), DINOv3."""
    if isinstance(card.architecture, ResNetArchitecture):
        raise InputError("transformers' ResNet is not written here: use timm or detectron2 as the target")
    a = card.vit
    rotary = a.position == "rope"
    if not a.class_token or not a.final_norm or a.qk_norm or (not rotary and a.position_prefix_rows != 1):
        raise InputError(
            "the ViTs of transformers have a class token with a position and a final norm; this network has not: "
            "use timm as the target"
        )
    if (rotary or a.registers) and not a.layer_scale:
        raise InputError("transformers has no ViT with registers and without LayerScale: use timm as the target")
    if (a.mlp == "swiglu" and not a.layer_scale) or (not a.qkv_bias and not rotary):
        raise InputError("transformers has no ViT of this kind (gated MLP or no biases): use timm as the target")
    names = {"gelu": "gelu", "gelu-tanh": "gelu_pytorch_tanh", "silu": "silu"}
    config: dict[str, Any] = {
        "hidden_size": a.embed_dim,
        "num_hidden_layers": a.depth,
        "num_attention_heads": a.num_heads,
        "layer_norm_eps": a.eps,
        "hidden_act": names[a.activation],
        "image_size": a.image_size,
        "patch_size": a.patch_size,
        "num_channels": 3,
        "dtype": str(tensors["patch_embed.proj.weight"].dtype).removeprefix("torch."),
    }
    mask = torch.zeros(1, a.embed_dim, dtype=tensors["cls_token"].dtype)
    if rotary:
        _check_periods(tensors, a, DINOV3_BASE)
        del tensors["rope.periods"]
        gated = a.mlp == "swiglu"
        config |= {"model_type": "dinov3_vit", "architectures": ["DINOv3ViTModel"], "rope_theta": DINOV3_BASE}
        config |= {"num_register_tokens": a.registers, "intermediate_size": a.hidden, "use_gated_mlp": gated}
        config |= {"query_bias": a.qkv_bias, "value_bias": a.qkv_bias, "key_bias": False}
        named = spell(hf.DINOV3_GATED if gated else hf.DINOV3, tensors) | {"embeddings.mask_token": mask[None]}
        return (named, config), []
    if not a.layer_scale:
        config |= {"model_type": "vit", "architectures": ["ViTModel"], "intermediate_size": a.hidden, "qkv_bias": True}
        notes = ["load with ViTModel.from_pretrained(folder, add_pooling_layer=False)"]
        return (spell(hf.VIT, tensors), config), notes + _resize_notes("transformers", card, SIZE_RESIZE)
    gated = a.mlp == "swiglu"
    rule = ANTIALIAS_RESIZE if a.registers else SIZE_RESIZE
    kind, cls = ("dinov2_with_registers", "Dinov2WithRegistersModel") if a.registers else ("dinov2", "Dinov2Model")
    config |= {"model_type": kind, "architectures": [cls], "use_swiglu_ffn": gated, "mlp_ratio": _mlp_ratio(a)}
    if a.registers:
        config["num_register_tokens"] = a.registers
    named = spell(hf.DINOV2_GATED if gated else hf.DINOV2, tensors) | {"embeddings.mask_token": mask}
    return (named, config), _resize_notes("transformers", card, rule)


WRITERS: dict[str, Callable[[Tensors, Card], tuple[Any, list[str]]]] = {
    "timm": for_timm,
    "mmdet": for_openmmlab,
    "mmseg": for_openmmlab,
    "detectron2": for_detectron2,
    "hf": for_hf,
}


def _mlp_ratio(a: Architecture) -> int:
    """transformers' ``mlp_ratio`` that gives exactly this hidden width."""
    for ratio in range(1, 17):
        hidden = a.embed_dim * ratio
        if (int(hidden * 2 / 3) + 7) // 8 * 8 == a.hidden if a.mlp == "swiglu" else hidden == a.hidden:
            return ratio
    raise InputError(f"transformers has no DINOv2 with a hidden width of {a.hidden}: use timm as the target")


def _check_periods(tensors: Tensors, a: Architecture, base: float) -> None:
    periods = tensors["rope.periods"].float()
    if not torch.allclose(periods, rope_periods(base, a.embed_dim // a.num_heads), rtol=1e-5, atol=0):
        raise InputError(f"the rotary periods are not those of base {base:g}, which this target makes by itself")


def _resize_notes(program: str, card: Card, rule: ResizeRule) -> list[str]:
    if card.vit.position == "rope" or card.resize == rule:
        return []
    return [f"{program} resizes positions by another rule than {card.method}: features differ at other sizes"]


def _write_file(out: Path, target: str, tensors: Tensors, card: Card) -> None:
    tensors = {name: tensors[name].contiguous() for name in sorted(tensors)}
    if out.suffix == ".safetensors":
        metadata = {"format": "pt"}
        if target in ("mmdet", "mmseg", "timm"):
            metadata[CARD_IN_METADATA] = json.dumps(card.to_dict(), sort_keys=True)
        write_safetensors(out, tensors, metadata)
    elif out.suffix in (".pth", ".pt"):
        content: dict[str, Any] = tensors
        if target in ("mmdet", "mmseg"):
            content = {"state_dict": tensors, "meta": {"card": card.to_dict()}}
        elif target == "detectron2":
            content = {"model": tensors, "__author__": card.method, "matching_heuristics": True}
        with atomic_path(out) as temporary:
            torch.save({name: _own(value) for name, value in content.items()}, temporary)
    elif out.suffix == ".pkl" and target == "detectron2":
        arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
        content = {"model": arrays, "__author__": card.method, "matching_heuristics": True}
        with atomic_path(out) as temporary:
            temporary.write_bytes(pickle.dumps(content))
    else:
        raise InputError(f"{out}: for {target} the output is named NAME.safetensors or NAME.pth")


def _own(value: Any) -> Any:
    """Tensors with storages of their own: ``torch.save`` writes a whole storage for the smallest view of it."""
    if isinstance(value, dict):
        return {name: _own(item) for name, item in value.items()}
    return value.clone() if isinstance(value, torch.Tensor) else value


def _write_folder(folder: Path, tensors: Mapping[str, torch.Tensor], config: dict[str, Any]) -> None:
    if folder.name == "model.safetensors":
        folder = folder.parent
    if folder.is_file():
        raise InputError(f"{folder} is a file: hf needs the name of a folder")
    write_safetensors(folder / "model.safetensors", tensors, {"format": "pt"})
    write_json(folder / "config.json", config)
