"""HuggingFace transformers: a folder of ``save_pretrained``. ViT, ViT-MAE, ViT-MSN, DINOv2 (+ registers), DINOv3.

Heads, eps and activation are in config.json, and differ from the original programs' (eps 1e-12 is common); without
that file nothing is converted. Positions are resized by size: DINOv2's offset of 0.1 is gone here, and the two
programs give different features at other sizes. Names on disk are the old ones; those of the modules of version 5 are
read as well.
"""

from __future__ import annotations

from typing import Any

from benchmarks.checkpoints.card import ANTIALIAS_RESIZE, SIZE_RESIZE
from benchmarks.checkpoints.container import Opened
from benchmarks.checkpoints.formats.family import WHOLE_FILE, Facts, Family, Place, Taken, table
from benchmarks.checkpoints.names import ZEROS, Layout, row
from benchmarks.errors import InputError

BLOCK, OURS = "encoder.layer.{i}", "blocks.{i}"
NEW = ("layers.{i}", "layer.{i}", "model.layer.{i}", BLOCK)  # blocks as modules of transformers 5 are called
ACTIVATIONS = {"gelu": "gelu", "gelu_pytorch_tanh": "gelu-tanh", "gelu_new": "gelu-tanh", "silu": "silu"}


def _projections(block: str) -> tuple[str, ...]:
    return tuple(f"{block}.attention.{letter}_proj.{{p}}" for letter in "qkv")


def _old_projections(block: str) -> tuple[str, ...]:
    return tuple(f"{block}.attention.attention.{name}.{{p}}" for name in ("query", "key", "value"))


EMBEDDINGS = (
    row("cls_token", "embeddings.cls_token"),
    row("pos_embed", "embeddings.position_embeddings"),
    row("reg_token", "embeddings.register_tokens"),
    row("patch_embed.proj.{p}", "embeddings.patch_embeddings.projection.{p}"),
)
ATTENTION = (
    row(f"{OURS}.attn.qkv.{{p}}", _old_projections(BLOCK), *map(_projections, NEW)),
    row(
        f"{OURS}.attn.proj.{{p}}",
        f"{BLOCK}.attention.output.dense.{{p}}",
        *(f"{block}.attention.o_proj.{{p}}" for block in NEW),
    ),
)

VIT = Layout(
    "transformers ViT",
    sentinel="embeddings.patch_embeddings.projection.weight",
    rows=(
        *EMBEDDINGS,
        *ATTENTION,
        row(f"{OURS}.norm1.{{p}}", *(f"{block}.layernorm_before.{{p}}" for block in (BLOCK, *NEW[:3]))),
        row(f"{OURS}.norm2.{{p}}", *(f"{block}.layernorm_after.{{p}}" for block in (BLOCK, *NEW[:3]))),
        row(f"{OURS}.mlp.fc1.{{p}}", f"{BLOCK}.intermediate.dense.{{p}}", *(f"{b}.mlp.fc1.{{p}}" for b in NEW)),
        row(f"{OURS}.mlp.fc2.{{p}}", f"{BLOCK}.output.dense.{{p}}", *(f"{b}.mlp.fc2.{{p}}" for b in NEW)),
        row("norm.{p}", "layernorm.{p}"),
    ),
)
DINOV2_ROWS = (
    *EMBEDDINGS,
    *ATTENTION,
    row(f"{OURS}.norm1.{{p}}", f"{BLOCK}.norm1.{{p}}"),
    row(f"{OURS}.norm2.{{p}}", f"{BLOCK}.norm2.{{p}}"),
    row(f"{OURS}.ls1.gamma", f"{BLOCK}.layer_scale1.lambda1"),
    row(f"{OURS}.ls2.gamma", f"{BLOCK}.layer_scale2.lambda1"),
    row("norm.{p}", "layernorm.{p}"),
)
DINOV2 = Layout(
    "transformers DINOv2",
    sentinel=VIT.sentinel,
    rows=(
        *DINOV2_ROWS,
        row(f"{OURS}.mlp.fc1.{{p}}", f"{BLOCK}.mlp.fc1.{{p}}"),
        row(f"{OURS}.mlp.fc2.{{p}}", f"{BLOCK}.mlp.fc2.{{p}}"),
    ),
)
DINOV2_GATED = Layout(
    "transformers DINOv2 with SwiGLU",
    sentinel=VIT.sentinel,
    rows=(
        *DINOV2_ROWS,
        row(
            f"{OURS}.mlp.fc1.{{p}}",
            f"{BLOCK}.mlp.weights_in.{{p}}",
            (f"{BLOCK}.mlp.gate_proj.{{p}}", f"{BLOCK}.mlp.up_proj.{{p}}"),
        ),
        row(f"{OURS}.mlp.fc2.{{p}}", f"{BLOCK}.mlp.weights_out.{{p}}", f"{BLOCK}.mlp.down_proj.{{p}}"),
    ),
)


def _dinov3(gated: bool) -> Layout:
    old, new = "layer.{i}", "model.layer.{i}"

    def both(name: str) -> tuple[str, str]:
        return f"{old}.{name}", f"{new}.{name}"

    def gate(block: str) -> tuple[str, ...]:
        up = f"{block}.mlp.up_proj.{{p}}"
        return (f"{block}.mlp.gate_proj.{{p}}", up) if gated else (up,)

    def without_key_bias(block: str) -> tuple[str, str, str]:
        return f"{block}.attention.q_proj.bias", ZEROS, f"{block}.attention.v_proj.bias"

    return Layout(
        f"transformers DINOv3{' with SwiGLU' if gated else ''}",
        sentinel="embeddings.patch_embeddings.weight",
        rows=(
            row("cls_token", "embeddings.cls_token"),
            row("reg_token", "embeddings.register_tokens"),
            row("patch_embed.proj.{p}", "embeddings.patch_embeddings.{p}"),
            row(
                f"{OURS}.attn.qkv.weight",
                *(tuple(n.format(i="{i}", p="weight") for n in _projections(b)) for b in (old, new)),
            ),
            row(f"{OURS}.attn.qkv.bias", *map(without_key_bias, (old, new))),
            row(f"{OURS}.attn.proj.{{p}}", *both("attention.o_proj.{p}")),
            row(f"{OURS}.norm1.{{p}}", *both("norm1.{p}")),
            row(f"{OURS}.norm2.{{p}}", *both("norm2.{p}")),
            row(f"{OURS}.ls1.gamma", *both("layer_scale1.lambda1")),
            row(f"{OURS}.ls2.gamma", *both("layer_scale2.lambda1")),
            row(f"{OURS}.mlp.fc1.{{p}}", gate(old), gate(new)),
            row(f"{OURS}.mlp.fc2.{{p}}", *both("mlp.down_proj.{p}")),
            row("norm.{p}"),
        ),
    )


DINOV3, DINOV3_GATED = _dinov3(gated=False), _dinov3(gated=True)


class Transformers(Family):
    """One model type of transformers; what differs between them is given here."""

    rank = 8
    drops = table(
        {
            r"(?:embeddings\.)?mask_token$": "mask token",
            r"decoder\.": "decoder",
            r"pooler\.": "pooler",
            r"classifier\.": "classifier",
            r"(?:prototypes|lm_head)\.": "head",
        }
    )
    resize = SIZE_RESIZE
    needed = ("hidden_size", "num_hidden_layers", "num_attention_heads", "layer_norm_eps", "patch_size")

    def __init__(
        self, model_type: str, method: str, licence: str, layout: Layout, prefixes: tuple[str, ...], **more: Any
    ):
        self.model_type, self.method, self.licence, self.layout = model_type, method, licence, layout
        self.places = tuple(Place(WHOLE_FILE, (), prefix) for prefix in (*prefixes, ""))
        for name, value in more.items():
            setattr(self, name, value)

    def recognises(self, opened: Opened, taken: Taken) -> bool:
        config = opened.config or {}
        gated = bool(config.get("use_swiglu_ffn") or config.get("use_gated_mlp"))
        return config.get("model_type") == self.model_type and gated == self.layout.name.endswith("SwiGLU")

    def facts(self, opened: Opened, taken: Taken) -> Facts:
        config = opened.config or {}
        for name in self.needed:
            value = config.get(name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or value <= 0:
                raise InputError(f"config.json has no usable {name} ({value!r}): copy the folder again")
        activation = config.get("hidden_act", "gelu")
        if activation not in ACTIVATIONS:
            raise InputError(f"config.json asks for the activation {activation!r}, which is not known here")
        facts = super().facts(opened, taken)
        facts.learn(
            "file",
            heads=config["num_attention_heads"],
            eps=float(config["layer_norm_eps"]),
            # DINOv2's gate is silu whatever the configuration says
            activation=None if self.layout is DINOV2_GATED else ACTIVATIONS[activation],
        )
        if self.layout in (DINOV3, DINOV3_GATED):
            facts.learn("file", rope_base=_rope_base(config), image_size=config.get("image_size"))
        self._compare(config, taken)
        learn_input(facts, opened, taken)
        return facts

    def _compare(self, config: dict[str, Any], taken: Taken) -> None:
        """config.json and the tensors must speak of the same network."""
        patch = taken.tensors[self.layout.sentinel]
        found, _ = self.layout.find(taken.tensors)
        there: dict[str, int | str] = {
            "hidden_size": patch.shape[0],
            "num_hidden_layers": len({key.split(".")[1] for key in found if key.startswith("blocks.")}),
            "patch_size": patch.shape[-1],
        }
        if "pos_embed" in found and isinstance(config.get("image_size"), int):
            rows = (self.model_type != "ijepa") + (config["image_size"] // config["patch_size"]) ** 2
            there["image_size"] = config["image_size"] if _rows(taken) == rows else f"of {_rows(taken)} positions"
        for name, value in there.items():
            if config[name] != value:
                raise InputError(
                    f"config.json says {name} {config[name]}, the tensors {value}: they are not of one net"
                )


def learn_input(facts: Facts, opened: Opened, taken: Taken) -> None:
    """Mean and std of preprocessor_config.json, where there is one."""
    aside = opened.preprocessor or {}
    if "image_mean" not in aside:
        taken.notes.append("no preprocessor_config.json says mean and std: ImageNet's are taken")
    for fact, name in (("mean", "image_mean"), ("std", "image_std")):
        values = aside.get(name)
        if isinstance(values, list) and len(values) == 3 and all(isinstance(v, (int, float)) for v in values):
            facts.learn("file", **{fact: tuple(map(float, values))})


def _rows(taken: Taken) -> int:
    table = taken.tensors["embeddings.position_embeddings"]
    return table.shape[1] if table.ndim == 3 else 0


def _rope_base(config: dict[str, Any]) -> float:
    value = config.get("rope_theta")
    nested = config.get("rope_parameters")
    if value is None and isinstance(nested, dict):
        value = nested.get("rope_theta")
    if not isinstance(value, (int, float)) or isinstance(value, bool) or value <= 0:
        raise InputError("config.json has no usable rope_theta: copy the folder again")
    return float(value)


class HuggingFaceWithoutConfig(Family):
    """The names of transformers in a lone file: eps, heads and activation are not known."""

    method, rank, layout = "transformers", 9, VIT
    places = tuple(Place(WHOLE_FILE, (), prefix) for prefix in ("vit.", "dinov2.", "dinov2_with_registers.", ""))

    def recognises(self, opened: Opened, taken: Taken) -> bool:
        kind = (opened.config or {}).get("model_type")
        known = ", ".join(family.model_type for family in FAMILIES if isinstance(family, Transformers))
        raise InputError(
            f"this model type of transformers ({kind}) is not known here: {known} are"
            if kind
            else "these are weights of transformers without their config.json, which says heads, eps and activation: "
            "give the folder that holds both"
        )


class DinoV3WithoutConfig(HuggingFaceWithoutConfig):
    method, layout = "transformers DINOv3", DINOV3
    places = tuple(Place(WHOLE_FILE, (), prefix) for prefix in ("dinov3_vit.", "model.", ""))


NC = "CC-BY-NC-4.0"
REGISTERS = ("dinov2_with_registers.", "dinov2.")
FAMILIES = (
    Transformers(
        "vit",
        "unknown (layout transformers ViT)",
        "unknown (each model on the hub has its own)",
        VIT,
        ("vit.",),
        known="unknown",
    ),
    Transformers("ijepa", "I-JEPA (transformers)", f"{NC} (I-JEPA)", VIT, ("ijepa.",)),
    Transformers("vit_mae", "MAE (transformers)", f"{NC} (MAE)", VIT, ("vit.",)),
    Transformers("vit_msn", "MSN (transformers)", f"{NC} (MSN)", VIT, ("vit.",)),
    *(
        Transformers("dinov2", "DINOv2 (transformers)", "Apache-2.0 (DINOv2)", layout, ("dinov2.",))
        for layout in (DINOV2, DINOV2_GATED)
    ),
    *(
        Transformers(
            "dinov2_with_registers",
            "DINOv2 with registers (transformers)",
            "Apache-2.0 (DINOv2)",
            layout,
            REGISTERS,
            resize=ANTIALIAS_RESIZE,
        )
        for layout in (DINOV2, DINOV2_GATED)
    ),
    *(
        Transformers("dinov3_vit", "DINOv3 (transformers)", "DINOv3 License", layout, ("dinov3_vit.", "model."))
        for layout in (DINOV3, DINOV3_GATED)
    ),
    HuggingFaceWithoutConfig(),
    DinoV3WithoutConfig(),
)
