"""timm (huggingface/pytorch-image-models): hub folders, training files with ``arch``, bare state dicts.

A bare state dict is told from DINO's by its classifier, or by being a .safetensors file, which DINO never wrote. timm
resizes positions by size with antialiasing. With registers it stores no class row: the class token holds it.
"""

from __future__ import annotations

import re
from typing import Any

from benchmarks.checkpoints.card import ANTIALIAS_RESIZE, SIZE_RESIZE
from benchmarks.checkpoints.container import Opened
from benchmarks.checkpoints.formats.family import WHOLE_FILE, Facts, Family, Place, Taken, table
from benchmarks.checkpoints.names import ZEROS, Layout, row
from benchmarks.errors import InputError

#: A timm architecture: vit_small_patch16_224, vit_base_patch14_reg4_dinov2, deit_tiny_patch16_224 ...
NAMED = re.compile(r"(?:vit|deit3?)_([a-z0-9]+?)(_plus)?_patch\d+")
DINOV3_BASE = 100.0


def _eva(gated: bool) -> Layout:
    """Names of timm's Eva, in which it holds DINOv3: another LayerScale, biases apart, no periods."""
    block = "blocks.{i}"
    gate = (f"{block}.mlp.fc1_g.{{p}}", f"{block}.mlp.fc1_x.{{p}}")
    same = ("cls_token", "reg_token", "patch_embed.proj.{p}", "norm.{p}", f"{block}.attn.qkv.weight")
    same += tuple(f"{block}.{name}.{{p}}" for name in ("norm1", "norm2", "attn.proj", "mlp.fc2"))
    return Layout(
        "timm's Eva names",
        sentinel="patch_embed.proj.weight",
        rows=(
            *map(row, same),
            row(f"{block}.attn.qkv.bias", (f"{block}.attn.q_bias", ZEROS, f"{block}.attn.v_bias")),
            row(f"{block}.ls1.gamma", f"{block}.gamma_1"),
            row(f"{block}.ls2.gamma", f"{block}.gamma_2"),
            row(f"{block}.mlp.fc1.{{p}}", gate if gated else f"{block}.mlp.fc1.{{p}}"),
        ),
    )


EVA, EVA_GATED = _eva(gated=False), _eva(gated=True)


class Timm(Family):
    method, licence, rank = "timm", "unknown (each timm model has its own)", 10
    places = (
        Place("state_dict_ema", ("state_dict_ema",)),
        Place("state_dict", ("state_dict",)),
        Place(WHOLE_FILE),
    )
    drops = table(
        {
            r"head\.": "classifier",
            r"fc_norm\.": "norm of the pooled vector, not of the tokens",
            r"attn_pool\.": "pooling head",
        }
    )
    resize = ANTIALIAS_RESIZE
    heads_by_name = table(
        {"tiny": 3, "small": 6, "medium": 8, "base": 12, "large": 16, "huge": 16, "so400m": 16, "7b": 32}
    )

    def recognises(self, opened: Opened, taken: Taken) -> bool:
        return self._architecture(opened) is not None

    def facts(self, opened: Opened, taken: Taken) -> Facts:
        facts = super().facts(opened, taken)
        arguments = (opened.config or {}).get("model_args")
        facts.odd_class_row = (
            "reg_token" in taken.tensors
            or (self._architecture(opened) or "").startswith("deit3")
            or (isinstance(arguments, dict) and bool(arguments.get("no_embed_class")))
        )
        if any(name.startswith("fc_norm.") for name in taken.tensors):
            taken.notes.append("this network norms the pooled vector; its tokens are raw")
        if "pos_embed" not in taken.tensors and "reg_token" in taken.tensors:  # DINOv3, as timm's Eva holds it
            patch = taken.tensors["patch_embed.proj.weight"].shape[-1]
            facts.learn("table", eps=1e-5, rope_base=DINOV3_BASE, image_size=max(224 // patch, 1) * patch)
        settings = (opened.config or {}).get("pretrained_cfg")
        if isinstance(settings, dict):
            facts.learn("file", mean=_triple(settings.get("mean")), std=_triple(settings.get("std")))
            if isinstance(settings.get("license"), str):
                facts.learn("file", licence=settings["license"])
        return facts

    def saved_heads(self, opened: Opened) -> int | None:
        arguments = (opened.config or {}).get("model_args")
        number = arguments.get("num_heads") if isinstance(arguments, dict) else None
        if isinstance(number, int) and not isinstance(number, bool):
            return number
        name = self._architecture(opened)
        match = NAMED.match(name) if name else None
        if match is None:
            return None
        if match[1] == "giant":
            return 24 if "dinov2" in name else 16
        return 20 if match[1] == "huge" and match[2] else self.heads_by_name.get(match[1])

    @staticmethod
    def _architecture(opened: Opened) -> str | None:
        named = (opened.config or {}).get("architecture")
        if named is None and isinstance(opened.content, dict):
            named = opened.content.get("arch")
        return named if isinstance(named, str) and (NAMED.match(named) or opened.config) else None


class TimmStateDict(Timm):
    """A bare state dict that cannot be DINO's."""

    method, licence, rank = "timm layout", "unknown (the file does not name its method)", 85

    def recognises(self, opened: Opened, taken: Taken) -> bool:
        if taken.place.branch != WHOLE_FILE or opened.config is not None:
            return False
        return opened.safetensors or any(name in taken.tensors for name in ("head.weight", "fc_norm.weight"))

    def facts(self, opened: Opened, taken: Taken) -> Facts:
        taken.notes.append("the file does not name its method; resize rule and eps are those of timm")
        return super().facts(opened, taken)


class DeitLayout(Family):
    """``{'model': timm names}``, as DeiT's programs write it."""

    method, licence, rank = "DeiT layout", "unknown (the file does not name its method)", 88
    places = (Place("model", ("model",)),)
    drops = Timm.drops
    resize = SIZE_RESIZE

    def recognises(self, opened: Opened, taken: Taken) -> bool:
        if "dist_token" in taken.tensors:
            raise InputError(
                "this is a DeiT with a distillation token, which the ViT here has not: it is not converted"
            )
        return "cls_token" in taken.tensors

    def facts(self, opened: Opened, taken: Taken) -> Facts:
        taken.notes.append("the file does not name its method; resize rule and eps are those of DeiT")
        return super().facts(opened, taken)


def _triple(value: Any) -> tuple[float, float, float] | None:
    if isinstance(value, list) and len(value) == 3 and all(isinstance(v, (int, float)) for v in value):
        return tuple(map(float, value))
    return None


FAMILIES = (Timm(), TimmStateDict(), DeitLayout())
