"""torchvision: its ViT, and its ResNet layout, which is that of DINO's, DenseCL's and many other bare files."""

from __future__ import annotations

from benchmarks.checkpoints.card import ResizeRule
from benchmarks.checkpoints.container import Opened
from benchmarks.checkpoints.formats.family import WHOLE_FILE, Facts, Family, Place, ResNetFamily, Taken, table
from benchmarks.checkpoints.formats.layouts import RESNET
from benchmarks.checkpoints.names import Layout, row

BLOCK, OURS = "encoder.layers.encoder_layer_{i}", "blocks.{i}"
VIT = Layout(
    "torchvision ViT names",
    sentinel="conv_proj.weight",
    rows=(
        row("cls_token", "class_token"),
        row("pos_embed", "encoder.pos_embedding"),
        row("patch_embed.proj.{p}", "conv_proj.{p}"),
        row(f"{OURS}.norm1.{{p}}", f"{BLOCK}.ln_1.{{p}}"),
        row(f"{OURS}.attn.qkv.{{p}}", f"{BLOCK}.self_attention.in_proj_{{p}}"),
        row(f"{OURS}.attn.proj.{{p}}", f"{BLOCK}.self_attention.out_proj.{{p}}"),
        row(f"{OURS}.norm2.{{p}}", f"{BLOCK}.ln_2.{{p}}"),
        row(f"{OURS}.mlp.fc1.{{p}}", f"{BLOCK}.mlp.0.{{p}}", f"{BLOCK}.mlp.linear_1.{{p}}"),
        row(f"{OURS}.mlp.fc2.{{p}}", f"{BLOCK}.mlp.3.{{p}}", f"{BLOCK}.mlp.linear_2.{{p}}"),
        row("norm.{p}", "encoder.ln.{p}"),
    ),
)
NOT_NAMED = "unknown (the file does not name its method)"
PLACES = (
    Place("model_ema", ("model_ema",)),
    Place("model", ("model",)),
    Place("state_dict", ("state_dict",)),
    Place(WHOLE_FILE),
)


class TorchvisionViT(Family):
    """``interpolate_embeddings`` lays corner samples on each other, as nobody else does."""

    method, licence, rank = "unknown (layout torchvision ViT)", NOT_NAMED, 20
    known = "unknown"
    layout, places = VIT, PLACES
    drops = table({r"heads?\.": "classifier", r"n_averaged$": "count of averaged models"})
    resize = ResizeRule(align_corners=True)

    def recognises(self, opened: Opened, taken: Taken) -> bool:
        return True


class TorchvisionResNet(ResNetFamily):
    method, licence, rank = "unknown (layout torchvision ResNet)", NOT_NAMED, 70
    known = "unknown"
    layout, places = RESNET, PLACES
    drops = table(
        {
            **ResNetFamily.drops,
            r"head\.|projection_head\.": "projection head",
            r"prototypes\d*\.": "prototypes (SwAV)",
            r"n_averaged$": "count of averaged models",
        }
    )

    def recognises(self, opened: Opened, taken: Taken) -> bool:
        return True

    def facts(self, opened: Opened, taken: Taken) -> Facts:
        taken.notes.append("the file does not name its method; it has torchvision's ResNet layout")
        return super().facts(opened, taken)


FAMILIES = (TorchvisionViT(), TorchvisionResNet())
