"""The name tables of the layouts that several families share. A layout of one family lives in its file."""

from __future__ import annotations

from benchmarks.checkpoints.names import ZEROS, Layout, Row, row

BLOCK = "blocks.{i}"

#: timm's names, which DINO and everything built on it use, with the spellings of its descendants.
PLAIN = Layout(
    "timm names",
    sentinel="patch_embed.proj.weight",
    rows=(
        row("cls_token"),
        row("pos_embed"),
        row("reg_token", "reg_token", "register_tokens", "storage_tokens"),
        row("rope.periods", "rope.periods", "rope_embed.periods"),
        row("patch_embed.proj.{p}"),
        row(f"{BLOCK}.norm1.{{p}}"),
        row(
            f"{BLOCK}.attn.qkv.{{p}}",
            f"{BLOCK}.attn.qkv.{{p}}",
            (f"{BLOCK}.attn.q_proj.{{p}}", f"{BLOCK}.attn.k_proj.{{p}}", f"{BLOCK}.attn.v_proj.{{p}}"),
        ),
        row(
            f"{BLOCK}.attn.qkv.bias", f"{BLOCK}.attn.qkv.bias", (f"{BLOCK}.attn.q_bias", ZEROS, f"{BLOCK}.attn.v_bias")
        ),
        row(f"{BLOCK}.attn.q_norm.{{p}}"),
        row(f"{BLOCK}.attn.k_norm.{{p}}"),
        row(f"{BLOCK}.attn.proj.{{p}}"),
        row(f"{BLOCK}.ls1.gamma", f"{BLOCK}.ls1.gamma", f"{BLOCK}.gamma_1"),
        row(f"{BLOCK}.norm2.{{p}}"),
        row(
            f"{BLOCK}.mlp.fc1.{{p}}",
            f"{BLOCK}.mlp.fc1.{{p}}",
            f"{BLOCK}.mlp.w12.{{p}}",
            (f"{BLOCK}.mlp.w1.{{p}}", f"{BLOCK}.mlp.w2.{{p}}"),
            (f"{BLOCK}.mlp.fc1_g.{{p}}", f"{BLOCK}.mlp.fc1_x.{{p}}"),
        ),
        row(f"{BLOCK}.mlp.fc2.{{p}}", f"{BLOCK}.mlp.fc2.{{p}}", f"{BLOCK}.mlp.w3.{{p}}"),
        row(f"{BLOCK}.ls2.gamma", f"{BLOCK}.ls2.gamma", f"{BLOCK}.gamma_2"),
        row("norm.{p}"),
    ),
)


def _resnet(stem: str, stem_norm: str, block: str, norm: str, shortcut: str, shortcut_norm: str, first: int):
    rows: list[Row] = [row("conv1.weight", f"{stem}.weight"), row("bn1.{q}", f"{stem_norm}.{{q}}")]
    for stage in range(1, 5):
        ours, theirs = f"layer{stage}.{{i}}", block.format(stage - 1 + first)
        for n in (1, 2, 3):
            rows.append(row(f"{ours}.conv{n}.weight", f"{theirs}.conv{n}.weight"))
            rows.append(row(f"{ours}.bn{n}.{{q}}", f"{theirs}.{norm.format(n)}.{{q}}"))
        rows.append(row(f"{ours}.downsample.0.weight", f"{theirs}.{shortcut}.weight"))
        rows.append(row(f"{ours}.downsample.1.{{q}}", f"{theirs}.{shortcut_norm}.{{q}}"))
    return tuple(rows)


#: torchvision's ResNet.
RESNET = Layout(
    "torchvision ResNet names",
    _resnet("conv1", "bn1", "layer{}.{{i}}", "bn{}", "downsample.0", "downsample.1", 1),
    sentinel="layer4.0.conv1.weight",
)
#: The same network as ``nn.Sequential`` of its children (SCRL, BYOL by kakaobrain).
RESNET_SEQUENTIAL = Layout(
    "numbered ResNet names",
    _resnet("0", "1", "{}.{{i}}", "bn{}", "downsample.0", "downsample.1", 4),
    sentinel="7.0.conv1.weight",
)
#: detectron2's.
RESNET_DETECTRON2 = Layout(
    "detectron2 ResNet names",
    _resnet("stem.conv1", "stem.conv1.norm", "res{}.{{i}}", "conv{}.norm", "shortcut", "shortcut.norm", 2),
    sentinel="res5.0.conv1.weight",
)
