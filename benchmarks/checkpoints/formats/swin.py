"""Swin, as microsoft/Swin-Transformer names it (EsViT, MoBY and SimMIM do the same), and of transformers.

The tables of relative positions tell windows and heads; timm's class runs it. The original merges patches at the end
of a stage, timm at the start of the next. The image size is the one at which the last stage is one window, as in all
published models: blocks of such a stage do not shift. Swin v2 is another network.
"""

from __future__ import annotations

import math
import re
from typing import Any

from benchmarks.checkpoints.card import ANTIALIAS_RESIZE, TimmArchitecture
from benchmarks.checkpoints.container import Opened
from benchmarks.checkpoints.formats.family import DINO_PLACES, WHOLE_FILE, Facts, Family, Place, Taken, table
from benchmarks.checkpoints.formats.huggingface import learn_input
from benchmarks.checkpoints.names import Layout, Tensors, row
from benchmarks.checkpoints.timm_networks import describe
from benchmarks.errors import InputError

OURS = "layers.{s}.blocks.{i}"
TABLE = "attn.relative_position_bias_table"
PARTS = {f"{name}.{{p}}": f"{name}.{{p}}" for name in ("norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2")}
HF_PARTS = {
    "norm1.{p}": "layernorm_before.{p}",
    "attn.proj.{p}": "attention.output.dense.{p}",
    "norm2.{p}": "layernorm_after.{p}",
    "mlp.fc1.{p}": "intermediate.dense.{p}",
    "mlp.fc2.{p}": "output.dense.{p}",
    TABLE: "attention.self.relative_position_bias_table",
}


def _merging(prefix: str) -> list:
    """The merging after a stage is that before the next one."""
    parts = ("norm.{p}", "reduction.weight")
    return [
        row(f"layers.{s + 1}.downsample.{p}", f"{prefix}layers.{s}.downsample.{p}") for s in range(4) for p in parts
    ]


ORIGINAL = Layout(
    "Swin's names",
    (
        row("patch_embed.proj.{p}"),
        row("patch_embed.norm.{p}"),
        *(row(f"{OURS}.{ours}", f"{OURS}.{theirs}") for ours, theirs in (PARTS | {TABLE: TABLE}).items()),
        *_merging(""),
        row("norm.{p}"),
    ),
    sentinel=f"layers.0.blocks.0.{TABLE}",
    axes=2,
)
_BLOCK = "encoder.layers.{s}.blocks.{i}"
TRANSFORMERS = Layout(
    "transformers Swin",
    (
        row("patch_embed.proj.{p}", "embeddings.patch_embeddings.projection.{p}"),
        row("patch_embed.norm.{p}", "embeddings.norm.{p}"),
        *(row(f"{OURS}.{ours}", f"{_BLOCK}.{theirs}") for ours, theirs in HF_PARTS.items()),
        row(
            f"{OURS}.attn.qkv.{{p}}",
            tuple(f"{_BLOCK}.attention.self.{name}.{{p}}" for name in ("query", "key", "value")),
        ),
        *_merging("encoder."),
        row("norm.{p}", "layernorm.{p}"),
    ),
    sentinel="encoder.layers.0.blocks.0.attention.self.relative_position_bias_table",
    axes=2,
)


def swin_network(tensors: Tensors, eps: float) -> TimmArchitecture:
    """A Swin from canonical tensors. ``eps`` is that of every norm."""
    depths: list[int] = []
    for name in tensors:
        if match := re.match(r"layers\.(\d)\.blocks\.(\d+)\.", name):
            stage, block = int(match[1]), int(match[2])
            depths += [0] * (stage + 1 - len(depths))
            depths[stage] = max(depths[stage], block + 1)
    if 0 in depths:
        raise InputError(f"a Swin of blocks {depths} in its stages: the file is cut")
    heads, windows = [], []
    for stage in range(len(depths)):
        rows, count = tensors.shape(f"layers.{stage}.blocks.0.{TABLE}")
        side = math.isqrt(rows)
        if side**2 != rows or not side % 2:
            raise InputError(
                f"a Swin whose table of {rows} relative positions in stage {stage} is of no square window: "
                "the file is damaged"
            )
        heads.append(count)
        windows.append((side + 1) // 2)
    width, _, patch, _ = tensors.shape("patch_embed.proj.weight")
    arguments: dict[str, Any] = {"embed_dim": width, "patch_size": patch, "depths": depths, "num_heads": heads}
    arguments |= {"window_size": windows[0], "img_size": windows[-1] * patch * 2 ** (len(depths) - 1)}
    arguments |= {"mlp_ratio": tensors.shape("layers.0.blocks.0.mlp.fc1.weight")[0] / width}
    arguments |= {"qkv_bias": "layers.0.blocks.0.attn.qkv.bias" in tensors}
    return describe("swin_tiny_patch4_window7_224", arguments, None if eps == 1e-5 else eps)[0]


class Swin(Family):
    method, licence, rank, kind = "unknown (layout Swin)", "unknown (the file does not name its method)", 45, "timm"
    known = "unknown"
    layout, places = ORIGINAL, DINO_PLACES
    resize = ANTIALIAS_RESIZE
    eps = 1e-5
    drops = table(
        {
            r".*(?:relative_position_index|attn_mask)$": "index that the network computes",
            r"head(?:_dense)?\.": "classifier or projection head",
            r"mask_token$": "mask token",
        }
    )

    def recognises(self, opened: Opened, taken: Taken) -> bool:
        if opened.config is not None:
            return False
        if "layers.0.downsample.reduction.weight" in taken.tensors:
            return True
        if "layers.1.downsample.reduction.weight" in taken.tensors:  # timm's place of the merging
            names = [name for name in taken.tensors if re.match(r"layers\.\d\.downsample\.", name)]
            for name in sorted(names):
                stage = int(name.split(".")[1])
                taken.rename(name, re.sub(r"^layers\.\d", f"layers.{stage - 1}", name))
        return True

    def facts(self, opened: Opened, taken: Taken) -> Facts:
        facts = super().facts(opened, taken)
        facts.network = self._network(taken, self.eps)
        taken.notes.append("nothing in the file names its method")
        return facts

    def _network(self, taken: Taken, eps: float) -> TimmArchitecture:
        found, _ = self.layout.find(taken.tensors)
        return swin_network(Tensors(taken.tensors, found), eps)


class TransformersSwin(Swin):
    """A folder of transformers."""

    method, rank, layout = "unknown (layout transformers Swin)", 8, TRANSFORMERS
    places = tuple(Place(WHOLE_FILE, (), prefix) for prefix in ("swin.", ""))
    drops = table(
        {
            r".*relative_position_index$": "index that the network computes",
            r"(?:classifier|decoder|pooler)\.": "head",
            r"embeddings\.mask_token$": "mask token",
        }
    )

    def recognises(self, opened: Opened, taken: Taken) -> bool:
        return (opened.config or {}).get("model_type") == "swin"

    def facts(self, opened: Opened, taken: Taken) -> Facts:
        facts = super().facts(opened, taken)
        config = opened.config or {}
        if config.get("hidden_act", "gelu") != "gelu" or config.get("use_absolute_embeddings"):
            raise InputError("config.json asks for another activation or for a position table: not known here")
        eps = config.get("layer_norm_eps")
        if not isinstance(eps, float):
            raise InputError(f"config.json has no usable layer_norm_eps ({eps!r}): copy the folder again")
        facts.network = self._network(taken, eps)
        facts.provenance["eps"] = "file"
        if facts.network.arguments["img_size"] != config.get("image_size"):
            facts.network = describe(
                facts.network.name,
                facts.network.arguments
                | {"img_size": config.get("image_size"), "window_size": config.get("window_size")},
                facts.network.eps,
            )[0]
        learn_input(facts, opened, taken)
        return facts


FAMILIES = (Swin(), TransformersSwin())
