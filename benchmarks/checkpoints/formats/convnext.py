"""ConvNeXt: of facebookresearch/ConvNeXt (v1, v2), of DINOv3, and of transformers; timm's class runs it.

Its tensors tell everything but the eps, which is 1e-6 in all of these programs. DINOv3 norms every cell of its last
map; the others norm the pooled vector, so that their maps are raw.
"""

from __future__ import annotations

import re
from typing import Any

from benchmarks.checkpoints.card import ANTIALIAS_RESIZE, TimmArchitecture
from benchmarks.checkpoints.container import Opened
from benchmarks.checkpoints.formats.family import DINO_PLACES, WHOLE_FILE, Facts, Family, Place, Taken, table
from benchmarks.checkpoints.formats.huggingface import learn_input
from benchmarks.checkpoints.names import Layout, Tensors, row
from benchmarks.checkpoints.timm_networks import describe
from benchmarks.errors import InputError

OURS = "stages.{s}.blocks.{i}"
POOLED = "norm of the pooled vector, not of the cells"
UNKNOWN = "unknown (the file does not name its method)"


def _layout(name: str, stem: tuple[str, str], downsample: str, block: str, norm: str, parts: dict[str, str]) -> Layout:
    rows = [row("stem.0.{p}", f"{stem[0]}.{{p}}"), row("stem.1.{p}", f"{stem[1]}.{{p}}")]
    rows += [row(f"stages.{{s}}.downsample.{n}.{{p}}", f"{downsample}.{n}.{{p}}") for n in (0, 1)]
    rows += [row(f"{OURS}.{ours}", f"{block}.{theirs}") for ours, theirs in parts.items()]
    return Layout(name, (*rows, row("head.norm.{p}", f"{norm}.{{p}}")), f"{stem[0]}.weight")


GRN = {"mlp.grn.weight": "grn.gamma", "mlp.grn.bias": "grn.beta"}
OWN = {"conv_dw.{p}": "dwconv.{p}", "norm.{p}": "norm.{p}", "mlp.fc1.{p}": "pwconv1.{p}", "mlp.fc2.{p}": "pwconv2.{p}"}
HF = OWN | {"norm.{p}": "layernorm.{p}", "gamma": "layer_scale_parameter", "mlp.grn.{p}": "grn.{p}"}
HF3 = {"conv_dw.{p}": "depthwise_conv.{p}", "norm.{p}": "layer_norm.{p}", "gamma": "gamma"}
HF3 |= {"mlp.fc1.{p}": "pointwise_conv1.{p}", "mlp.fc2.{p}": "pointwise_conv2.{p}"}

ORIGINAL = _layout(
    "ConvNeXt's names",
    ("downsample_layers.0.0", "downsample_layers.0.1"),
    "downsample_layers.{s}",
    "stages.{s}.{i}",
    "norm",
    OWN | {"gamma": "gamma"} | GRN,
)
TRANSFORMERS = _layout(
    "transformers ConvNeXt",
    ("embeddings.patch_embeddings", "embeddings.layernorm"),
    "encoder.stages.{s}.downsampling_layer",
    "encoder.stages.{s}.layers.{i}",
    "layernorm",
    HF,
)
TRANSFORMERS_DINOV3 = _layout(
    "transformers DINOv3 ConvNeXt",
    ("stages.0.downsample_layers.0", "stages.0.downsample_layers.1"),
    "stages.{s}.downsample_layers",
    "stages.{s}.layers.{i}",
    "layer_norm",
    HF3,
)


def convnext_network(tensors: Tensors, norm_tokens: bool, eps: float) -> TimmArchitecture:
    """A ConvNeXt from canonical tensors. ``eps`` is that of every norm."""
    depths: list[int] = []
    for name in tensors:
        if match := re.match(r"stages\.(\d)\.blocks\.(\d+)\.", name):
            stage, block = int(match[1]), int(match[2])
            depths += [0] * (stage + 1 - len(depths))
            depths[stage] = max(depths[stage], block + 1)
    if len(depths) != 4 or 0 in depths:
        raise InputError(f"a ConvNeXt of blocks {depths} in its stages: four stages are known, so the file is cut")
    dims = [tensors.shape(f"stages.{stage}.blocks.0.norm.weight")[0] for stage in range(4)]
    kernel = tensors.shape("stages.0.blocks.0.conv_dw.weight")
    arguments: dict[str, Any] = {"depths": depths, "dims": dims, "patch_size": tensors.shape("stem.0.weight")[-1]}
    arguments |= {"kernel_sizes": kernel[-1], "use_grn": "stages.0.blocks.0.mlp.grn.weight" in tensors}
    arguments |= {"ls_init_value": 1e-6 if "stages.0.blocks.0.gamma" in tensors else None}
    return describe("convnext_tiny", arguments, None if eps == 1e-6 else eps, norm_tokens)[0]


class ConvNeXt(Family):
    """The names of facebookresearch/ConvNeXt, which DINOv3 keeps, with its final norm once more as ``norms.3``."""

    method, licence, rank, kind = "unknown (layout ConvNeXt)", UNKNOWN, 45, "timm"
    known = "unknown"
    layout, places = ORIGINAL, DINO_PLACES
    resize = ANTIALIAS_RESIZE
    drops = table({r"norms\.3\.": "the final norm again, under its other name", r"head\.": "classifier"})
    norms_cells = False

    def recognises(self, opened: Opened, taken: Taken) -> bool:
        return any(name.startswith("norms.") for name in taken.tensors) == self.norms_cells

    def prepare(self, opened: Opened, taken: Taken) -> None:
        for name, tensor in taken.tensors.items():
            if ".grn." in name:
                taken.tensors[name] = tensor.reshape(-1)
        for name in [name for name in taken.tensors if name.startswith("norm.") and not self.norms_cells]:
            taken.drop(name, POOLED)

    def facts(self, opened: Opened, taken: Taken) -> Facts:
        facts = super().facts(opened, taken)
        facts.network = self._network(taken, 1e-6)
        if self.known == "unknown":
            taken.notes.append("nothing in the file names its method")
        return facts

    def _network(self, taken: Taken, eps: float) -> TimmArchitecture:
        found, _ = self.layout.find(taken.tensors)
        return convnext_network(Tensors(taken.tensors, found), self.norms_cells, eps)


class DinoV3ConvNeXt(ConvNeXt):
    method, licence, rank, known = "DINOv3", "DINOv3 License", 44, "layout"
    norms_cells = True


class TransformersConvNeXt(ConvNeXt):
    """A folder of transformers."""

    rank = 8

    def __init__(self, model_type: str, layout: Layout, prefixes: tuple[str, ...], method: str) -> None:
        self.model_type, self.layout, self.method = model_type, layout, method
        self.norms_cells = layout is TRANSFORMERS_DINOV3
        if self.norms_cells:
            self.known, self.licence = "file", "DINOv3 License"
        self.places = tuple(Place(WHOLE_FILE, (), prefix) for prefix in (*prefixes, ""))

    def recognises(self, opened: Opened, taken: Taken) -> bool:
        return (opened.config or {}).get("model_type") == self.model_type

    def prepare(self, opened: Opened, taken: Taken) -> None:
        super().prepare(opened, taken)
        for name in [name for name in taken.tensors if name.startswith("layernorm.")]:
            taken.drop(name, POOLED)

    def facts(self, opened: Opened, taken: Taken) -> Facts:
        facts = super().facts(opened, taken)
        config = opened.config or {}
        if config.get("hidden_act", "gelu") != "gelu":
            raise InputError(f"config.json asks for the activation {config['hidden_act']!r}, which is not known here")
        if self.norms_cells:
            eps = config.get("layer_norm_eps", 1e-6)
            if not isinstance(eps, float):
                raise InputError(f"config.json has no usable layer_norm_eps ({eps!r}): copy the folder again")
            facts.network = self._network(taken, eps)
            facts.provenance["eps"] = "file"
        learn_input(facts, opened, taken)
        return facts


FAMILIES = (
    ConvNeXt(),
    DinoV3ConvNeXt(),
    TransformersConvNeXt("convnext", TRANSFORMERS, ("convnext.",), "unknown (layout transformers ConvNeXt)"),
    TransformersConvNeXt("convnextv2", TRANSFORMERS, ("convnextv2.",), "unknown (layout transformers ConvNeXt)"),
    TransformersConvNeXt("dinov3_convnext", TRANSFORMERS_DINOV3, ("model.",), "DINOv3 (transformers)"),
)
