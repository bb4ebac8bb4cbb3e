"""transformers' CLIP and SigLIP: their image encoders, alone or beside the text encoder.

SigLIP has no class token and a tanh gelu: the house's ViT is it. CLIP norms before the first block and has a quick
gelu: timm's class runs it; its final norm is of the class token alone, so that tokens are raw.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from benchmarks.checkpoints.card import ANTIALIAS_RESIZE, SIZE_RESIZE, ResizeRule
from benchmarks.checkpoints.container import Opened
from benchmarks.checkpoints.formats.family import WHOLE_FILE, Facts, Family, Place, Taken, table
from benchmarks.checkpoints.formats.huggingface import ACTIVATIONS, learn_input
from benchmarks.checkpoints.names import Layout, row
from benchmarks.checkpoints.timm_networks import describe
from benchmarks.errors import InputError

BLOCK, OURS = "encoder.layers.{i}", "blocks.{i}"
TABLE = "embeddings.position_embedding.weight"
BLOCKS = (
    row(f"{OURS}.norm1.{{p}}", f"{BLOCK}.layer_norm1.{{p}}"),
    row(f"{OURS}.attn.qkv.{{p}}", tuple(f"{BLOCK}.self_attn.{letter}_proj.{{p}}" for letter in "qkv")),
    row(f"{OURS}.attn.proj.{{p}}", f"{BLOCK}.self_attn.out_proj.{{p}}"),
    row(f"{OURS}.norm2.{{p}}", f"{BLOCK}.layer_norm2.{{p}}"),
    row(f"{OURS}.mlp.fc1.{{p}}", f"{BLOCK}.mlp.fc1.{{p}}"),
    row(f"{OURS}.mlp.fc2.{{p}}", f"{BLOCK}.mlp.fc2.{{p}}"),
)
SIGLIP = Layout(
    "transformers SigLIP",
    (
        row("patch_embed.proj.{p}", "embeddings.patch_embedding.{p}"),
        row("pos_embed", TABLE),
        *BLOCKS,
        row("norm.{p}", "post_layernorm.{p}"),
    ),
    sentinel="embeddings.patch_embedding.weight",
)
SIGLIP2 = replace(SIGLIP, axes=2)  # its patches come from a linear layer
CLIP = Layout(
    "transformers CLIP",
    (
        row("patch_embed.proj.weight", "embeddings.patch_embedding.weight"),
        row("cls_token", "embeddings.class_embedding"),
        row("pos_embed", TABLE),
        row("norm_pre.{p}", "pre_layrnorm.{p}"),
        *BLOCKS,
    ),
    sentinel=SIGLIP.sentinel,
)
SIZES = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
#: What a vision_config that says nothing means.
DEFAULTS: dict[str, dict[str, Any]] = {
    "siglip": SIZES | {"patch_size": 16, "image_size": 224, "hidden_act": "gelu_pytorch_tanh", "layer_norm_eps": 1e-6},
    "siglip2": SIZES | {"patch_size": 16, "hidden_act": "gelu_pytorch_tanh", "layer_norm_eps": 1e-6},
    "clip": SIZES | {"patch_size": 32, "image_size": 224, "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5},
}
PLACES = tuple(Place(WHOLE_FILE, (), prefix) for prefix in ("vision_model.", ""))


class TransformersSiglip(Family):
    """``kind_of``: siglip or siglip2, whose patches come from a linear layer and whose table is resized otherwise."""

    licence, rank, places = "unknown (each model on the hub has its own)", 8, PLACES
    drops = table(
        {
            r"head\.": "pooling head",
            r"(?:text_model\.|logit_(?:scale|bias)|visual_projection|text_projection|classifier)": "outside the branch",
            r"embeddings\.position_ids$": "index that the network computes",
        }
    )

    def __init__(self, kind_of: str, method: str, resize: ResizeRule) -> None:
        self.kind_of, self.method, self.resize = kind_of, method, resize
        self.layout = {"siglip": SIGLIP, "siglip2": SIGLIP2, "clip": CLIP}[kind_of]

    def recognises(self, opened: Opened, taken: Taken) -> bool:
        return (opened.config or {}).get("model_type") in (self.kind_of, f"{self.kind_of}_vision_model")

    def prepare(self, opened: Opened, taken: Taken) -> None:
        config = self._config(opened)
        if TABLE in taken.tensors:
            taken.tensors[TABLE] = taken.tensors[TABLE][None]
        patches = taken.tensors.get("embeddings.patch_embedding.weight")
        if patches is not None and patches.ndim == 2:  # rows of [y, x, channel]
            side = config["patch_size"]
            cut = patches.reshape(len(patches), side, side, -1)
            taken.tensors["embeddings.patch_embedding.weight"] = cut.permute(0, 3, 1, 2).contiguous()

    def facts(self, opened: Opened, taken: Taken) -> Facts:
        facts, config = super().facts(opened, taken), self._config(opened)
        activation = config["hidden_act"]
        if activation not in ACTIVATIONS:
            raise InputError(f"config.json asks for the activation {activation!r}, which is not known here")
        facts.learn("file", heads=config["num_attention_heads"], eps=config["layer_norm_eps"])
        facts.learn("file", activation=ACTIVATIONS[activation])
        learn_input(facts, opened, taken)
        return facts

    def _config(self, opened: Opened) -> dict[str, Any]:
        """The vision encoder's settings; what they leave out is what transformers takes for it."""
        config = opened.config or {}
        own = config.get("vision_config") if config.get("model_type") == self.kind_of else config
        said = DEFAULTS[self.kind_of] | (own if isinstance(own, dict) else {})
        for name, value in DEFAULTS[self.kind_of].items():
            if not isinstance(value, str) and (
                isinstance(said[name], bool) or not isinstance(said[name], (int, float))
            ):
                raise InputError(f"config.json has no usable {name} ({said[name]!r}): copy the folder again")
        return said


class TransformersClip(TransformersSiglip):
    kind = "timm"
    drops = table({**TransformersSiglip.drops, r"post_layernorm\.": "norm of the class token alone"})

    def prepare(self, opened: Opened, taken: Taken) -> None:
        super().prepare(opened, taken)
        name = "embeddings.class_embedding"
        if name in taken.tensors:
            taken.tensors[name] = taken.tensors[name].reshape(1, 1, -1)

    def facts(self, opened: Opened, taken: Taken) -> Facts:
        facts, config = Family.facts(self, opened, taken), self._config(opened)
        names = {"gelu": "vit_base_patch16_clip_224", "quick_gelu": "vit_base_patch16_clip_quickgelu_224"}
        if config["hidden_act"] not in names:
            raise InputError(f"config.json asks for the activation {config['hidden_act']!r}, which is not known here")
        arguments = {
            "img_size": config["image_size"],
            "patch_size": config["patch_size"],
            "embed_dim": config["hidden_size"],
            "depth": config["num_hidden_layers"],
            "num_heads": config["num_attention_heads"],
            "mlp_ratio": config["intermediate_size"] / config["hidden_size"],
            "final_norm": False,
        }
        network = describe(names[config["hidden_act"]], arguments, config["layer_norm_eps"])[0]
        facts.learn("file", heads=network.num_heads, network=network)
        taken.notes.append(
            "CLIP's final norm is of the class token; tokens are raw. At other sizes positions are timm's"
        )
        learn_input(facts, opened, taken)
        return facts


FAMILIES = (
    TransformersSiglip("siglip", "SigLIP (transformers)", SIZE_RESIZE),
    TransformersSiglip("siglip2", "SigLIP2 (transformers)", ResizeRule("bilinear", antialias=True)),
    TransformersClip("clip", "CLIP (transformers)", ANTIALIAS_RESIZE),
)
