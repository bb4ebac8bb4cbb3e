"""From tensors and a family's facts to the architecture on the card; asks where nothing tells."""

from __future__ import annotations

import math
import re

from benchmarks.checkpoints.card import Architecture, ResNetArchitecture, TimmArchitecture
from benchmarks.checkpoints.formats.family import Facts, Family
from benchmarks.checkpoints.names import Tensors
from benchmarks.checkpoints.positions import position_kind
from benchmarks.errors import InputError


def settle_heads(family: Family, facts: Facts, width: int, depth: int, heads: int | None) -> int:
    """Decide on the number of heads: a number in the file, then the user's word, then a table's by name; or ask.

    A table's number by width counts for methods alone that the file names by a mark of theirs.
    """
    if heads is not None and facts.heads is not None and facts.provenance.get("num_heads") == "file":
        if heads != facts.heads:
            raise InputError(f"the file says {facts.heads} heads, but --heads {heads} was given: leave --heads out")
    elif heads is not None:
        facts.learn("user", heads=heads)
    elif facts.heads is None:
        facts.learn("table", heads=family.heads_by_width.get(width))
    if facts.heads is None:
        raise InputError(
            f"method {facts.method}: the number of attention heads of this ViT (width {width}, depth {depth}) is in no "
            "tensor, and the file does not say it: give it with --heads (mostly 64 channels a head; ViT-S: 6, but 12 "
            "in MoCo-v3)"
        )
    if facts.heads < 1 or width % facts.heads:
        raise InputError(f"{facts.heads} heads do not divide the embedding width {width}: check the file and --heads")
    return facts.heads


def timm_architecture(facts: Facts, heads: int | None) -> TimmArchitecture:
    """The architecture of a network that timm's class runs; ``heads`` replace those of a table."""
    from benchmarks.checkpoints.timm_networks import describe

    a = facts.network
    if a is None:
        raise ValueError("a family of kind timm names its network")
    if heads is None or heads == a.num_heads:
        return a
    if a.num_heads is None:
        raise InputError(f"--heads {heads} was given, but {a.name} has no single number of heads: leave --heads out")
    if facts.provenance.get("num_heads") == "file":
        raise InputError(f"the file says {a.num_heads} heads, but --heads {heads} was given: leave --heads out")
    facts.learn("user", heads=heads)
    return describe(a.name, a.arguments | {"num_heads": heads}, a.eps, a.norm_tokens)[0]


def vit_architecture(tensors: Tensors, facts: Facts) -> Architecture:
    """A ViT's architecture from canonical tensors; ``facts.heads`` is settled."""
    width, channels, patch, patch_w = _shape(tensors, "patch_embed.proj.weight", 4)
    if channels != 3 or patch != patch_w:
        raise InputError(
            f"patches of {channels} channels and {patch}x{patch_w} pixels: 3 channels and squares are known"
        )
    position, prefix, grid, size = "rope", 0, 0, facts.image_size
    if "pos_embed" in tensors:
        position, prefix, grid = _positions(tensors, width)
        size = grid * patch
    elif size is None:
        raise InputError("this ViT has no position table (pos_embed): it is cut, or of a layout that is not known here")
    has_class = "cls_token" in tensors
    if position != "rope" and has_class != bool(prefix) and not facts.odd_class_row:
        mismatch = "a class token without a row" if has_class else "a row for a class token that is missing"
        raise InputError(f"{mismatch} in the position table of {prefix + grid**2} rows: one of them was cut away")
    rows, _ = _shape(tensors, "blocks.0.mlp.fc1.weight", 2)
    gated = rows == 2 * _shape(tensors, "blocks.0.mlp.fc2.weight", 2)[1]  # gate and value are stacked
    activation = facts.activation or ("silu" if gated else "gelu")
    return Architecture(
        embed_dim=width,
        depth=depth_of(tensors),
        num_heads=facts.heads or 0,
        patch_size=patch,
        image_size=size,
        mlp_hidden=rows // 2 if gated else rows,
        mlp="swiglu" if gated else "mlp",
        activation=activation,
        qkv_bias="blocks.0.attn.qkv.bias" in tensors,
        qk_norm="blocks.0.attn.q_norm.weight" in tensors,
        class_token=has_class,
        registers=_shape(tensors, "reg_token", 3)[1] if "reg_token" in tensors else 0,
        layer_scale="blocks.0.ls1.gamma" in tensors,
        final_norm="norm.weight" in tensors,
        eps=facts.eps,
        position=position,
        position_prefix_rows=prefix,
    )


def _positions(tensors: Tensors, width: int) -> tuple[str, int, int]:
    """Kind, class rows and grid of a position table. A square number of rows means patches alone."""
    one, rows, channels = _shape(tensors, "pos_embed", 3)
    prefix = next((p for p in (0, 1) if rows > p and math.isqrt(rows - p) ** 2 == rows - p), None)
    if prefix is None or one != 1 or channels != width:
        raise InputError(
            f"a position table of shape {[one, rows, channels]} is no square grid of width {width}: is it cut?"
        )
    table = tensors["pos_embed"]
    if not table.is_floating_point():
        raise InputError(f"pos_embed holds {table.dtype}, no weights")
    return position_kind(table[:, prefix:], table[:, :prefix]), prefix, math.isqrt(rows - prefix)


def width_of(tensors: Tensors) -> int:
    """Channels of a token."""
    return _shape(tensors, "patch_embed.proj.weight", 4)[0]


def depth_of(tensors: Tensors) -> int:
    """Number of blocks; a gap in their numbers is an error."""
    numbers = {int(match[1]) for name in tensors if (match := re.match(r"blocks\.(\d+)\.", name))}
    if not numbers or numbers != set(range(len(numbers))):
        gap = min(set(range(max(numbers, default=0) + 1)) - numbers, default=0)
        raise InputError(f"block {gap} is missing: the file is cut")
    return len(numbers)


def resnet_architecture(tensors: Tensors, facts: Facts) -> ResNetArchitecture:
    """A ResNet's architecture from canonical tensors."""
    block, last = ("bottleneck", 3) if "layer1.0.conv3.weight" in tensors else ("basic", 2)
    blocks, inner, widths = [], [], []
    for stage in range(1, 5):
        numbers = {int(match[1]) for name in tensors if (match := re.match(rf"layer{stage}\.(\d+)\.", name))}
        if not numbers or numbers != set(range(len(numbers))):
            raise InputError(f"the blocks of layer{stage} are {sorted(numbers)}: the file is cut")
        blocks.append(len(numbers))
        inner.append(_shape(tensors, f"layer{stage}.0.conv2.weight", 4)[0])
        widths.append(_shape(tensors, f"layer{stage}.0.conv{last}.weight", 4)[0])
    stem = _shape(tensors, "conv1.weight", 4)[0]
    return ResNetArchitecture(stem, tuple(blocks), tuple(inner), tuple(widths), eps=facts.eps, block=block)


def _shape(tensors: Tensors, name: str, axes: int) -> tuple[int, ...]:
    if name not in tensors:
        raise InputError(f"{name} is missing: the file is cut")
    shape = tensors.shape(name)
    if len(shape) != axes or 0 in shape:
        raise InputError(f"{name} has shape {list(shape)}, but {axes} axes are needed")
    return shape
