"""Random weights in the layouts of published detectors and segmenters, name by name, and their programs' formulas."""

from __future__ import annotations

import math
import pickle

import torch
import torch.nn.functional as F

#: Sizes of third_party_configs' miniatures, which have the published detectors' parts.
WIDTH, DEPTH, HIDDEN, CHANNELS, CLASSES = 48, 12, 96, 64, 8


def _tensors(shapes, seed=0):
    generator = torch.Generator().manual_seed(seed)
    found = {}
    for name, shape in shapes.items():
        if name.endswith("num_batches_tracked"):
            found[name] = torch.tensor(7)
        elif name.endswith("running_var"):
            found[name] = torch.rand(shape, generator=generator) + 0.5
        else:
            scale = 1 / math.sqrt(math.prod(shape[1:])) if len(shape) > 1 else 0.1
            found[name] = scale * torch.randn(shape, generator=generator)
            if any(part in name for part in ("norm", "ln1.weight", "ln2.weight", "bn.weight")) and "weight" in name:
                found[name] = found[name] + 1
    return found


def _pair(name, out, *into):
    return {f"{name}.weight": (out, *into), f"{name}.bias": (out,)}


def _batch_norm(name, width):
    return {
        **_pair(name, width),
        f"{name}.running_mean": (width,),
        f"{name}.running_var": (width,),
        f"{name}.num_batches_tracked": (),
    }


def _fpn(levels=4):
    shapes = {}
    for level in range(levels):
        shapes |= _pair(f"neck.lateral_convs.{level}.conv", CHANNELS, WIDTH, 1, 1)
        shapes |= _pair(f"neck.fpn_convs.{level}.conv", CHANNELS, CHANNELS, 3, 3)
    return shapes


def selfpatch_detector(classes=CLASSES, grid=14):
    """A state dict of SelfPatch's Mask R-CNN in mmdet 2."""
    shapes = {"backbone.pos_embed": (1, grid**2, WIDTH), **_pair("backbone.patch_embed.proj", WIDTH, 3, 16, 16)}
    for i in range(DEPTH):
        block = f"backbone.blocks.{i}"
        shapes |= {**_pair(f"{block}.norm1", WIDTH), **_pair(f"{block}.norm2", WIDTH)}
        shapes |= {**_pair(f"{block}.attn.qkv", 3 * WIDTH, WIDTH), **_pair(f"{block}.attn.proj", WIDTH, WIDTH)}
        shapes |= {**_pair(f"{block}.mlp.fc1", HIDDEN, WIDTH), **_pair(f"{block}.mlp.fc2", WIDTH, HIDDEN)}
    for name in ("fpn1.0", "fpn1.3", "fpn2.0"):
        shapes |= {f"backbone.{name}.weight": (WIDTH, WIDTH, 2, 2), f"backbone.{name}.bias": (WIDTH,)}
    shapes |= _batch_norm("backbone.fpn1.1", WIDTH)
    shapes |= _fpn()
    shapes |= _pair("rpn_head.rpn_conv", CHANNELS, CHANNELS, 3, 3)
    shapes |= {**_pair("rpn_head.rpn_cls", 1, CHANNELS, 1, 1), **_pair("rpn_head.rpn_reg", 4, CHANNELS, 1, 1)}
    box, mask = "roi_head.bbox_head", "roi_head.mask_head"
    shapes |= {**_pair(f"{box}.fc_cls", classes + 1, 256), **_pair(f"{box}.fc_reg", 4 * classes, 256)}
    shapes |= {**_pair(f"{box}.shared_fcs.0", 256, CHANNELS * 49), **_pair(f"{box}.shared_fcs.1", 256, 256)}
    for i in range(2):
        shapes |= _pair(f"{mask}.convs.{i}.conv", CHANNELS, CHANNELS, 3, 3)
    shapes |= _pair(f"{mask}.upsample", CHANNELS, CHANNELS, 2, 2)
    return _tensors(shapes | _pair(f"{mask}.conv_logits", classes, CHANNELS, 1, 1))


def selfpatch_segmenter(classes=14, grid=32):
    """A state dict of SelfPatch's Semantic FPN in mmseg 0."""
    shapes = {"backbone.pos_embed": (1, grid**2, WIDTH), **_pair("backbone.patch_embed.projection", WIDTH, 3, 16, 16)}
    for i in range(DEPTH):
        layer = f"backbone.layers.{i}"
        shapes |= {**_pair(f"{layer}.ln1", WIDTH), **_pair(f"{layer}.ln2", WIDTH)}
        shapes |= {f"{layer}.attn.attn.in_proj_weight": (3 * WIDTH, WIDTH)}
        shapes |= {f"{layer}.attn.attn.in_proj_bias": (3 * WIDTH,)}
        shapes |= _pair(f"{layer}.attn.attn.out_proj", WIDTH, WIDTH)
        shapes |= {**_pair(f"{layer}.ffn.layers.0.0", HIDDEN, WIDTH), **_pair(f"{layer}.ffn.layers.1", WIDTH, HIDDEN)}
    shapes |= _fpn()
    # Levels declared 4, 8, 16, 32: one convolution for each doubling to 4, and one where there is none.
    for level, steps in enumerate((1, 1, 2, 3)):
        for step in range(steps):
            name = f"decode_head.scale_heads.{level}.{2 * step if steps > 1 else 0}"
            into = CHANNELS
            shapes |= {f"{name}.conv.weight": (CHANNELS, into, 3, 3), **_batch_norm(f"{name}.bn", CHANNELS)}
    return _tensors(shapes | _pair("decode_head.conv_seg", classes, CHANNELS, 1, 1))


def vitdet(classes=CLASSES, patch=16, grid=14, window=7, side=10, anchors=1):
    """A state dict of detectron2's ViTDet with Mask R-CNN."""
    net = "backbone.net"
    shapes = {f"{net}.pos_embed": (1, grid**2 + 1, WIDTH), **_pair(f"{net}.patch_embed.proj", WIDTH, 3, patch, patch)}
    for i in range(DEPTH):
        block, own = f"{net}.blocks.{i}", side if i in (2, 5, 8, 11) else window
        shapes |= {**_pair(f"{block}.norm1", WIDTH), **_pair(f"{block}.norm2", WIDTH)}
        shapes |= {**_pair(f"{block}.attn.qkv", 3 * WIDTH, WIDTH), **_pair(f"{block}.attn.proj", WIDTH, WIDTH)}
        shapes |= {f"{block}.attn.rel_pos_{axis}": (2 * own - 1, WIDTH // 6) for axis in "hw"}
        shapes |= {**_pair(f"{block}.mlp.fc1", HIDDEN, WIDTH), **_pair(f"{block}.mlp.fc2", WIDTH, HIDDEN)}
    half = WIDTH // 2

    def normed(name, out, into, size):
        return {f"{name}.weight": (out, into, size, size), **_pair(f"{name}.norm", out)}

    # Two transposed convolutions with a norm between them, one, none, and max pooling.
    shapes |= {"backbone.simfp_2.0.weight": (WIDTH, half, 2, 2), "backbone.simfp_2.0.bias": (half,)}
    shapes |= {**_pair("backbone.simfp_2.1", half), "backbone.simfp_2.3.weight": (half, half // 2, 2, 2)}
    shapes |= {"backbone.simfp_2.3.bias": (half // 2,), "backbone.simfp_3.0.bias": (half,)}
    shapes |= {"backbone.simfp_3.0.weight": (WIDTH, half, 2, 2)}
    for stage, first, width in ((2, 4, half // 2), (3, 1, half), (4, 0, WIDTH), (5, 1, WIDTH)):
        shapes |= normed(f"backbone.simfp_{stage}.{first}", CHANNELS, width, 1)
        shapes |= normed(f"backbone.simfp_{stage}.{first + 1}", CHANNELS, CHANNELS, 3)
    rpn, box, mask = "proposal_generator.rpn_head", "roi_heads.box_head", "roi_heads.mask_head"
    for i in range(2):
        shapes |= _pair(f"{rpn}.conv.conv{i}", CHANNELS, CHANNELS, 3, 3)
        shapes |= normed(f"{mask}.mask_fcn{i + 1}", CHANNELS, CHANNELS, 3)
    shapes |= {
        **_pair(f"{rpn}.objectness_logits", anchors, CHANNELS, 1, 1),
        **_pair(f"{rpn}.anchor_deltas", 4 * anchors, CHANNELS, 1, 1),
    }
    for i in range(4):
        shapes |= normed(f"{box}.conv{i + 1}", CHANNELS, CHANNELS, 3)
    shapes |= _pair(f"{box}.fc1", 256, CHANNELS * 49)
    shapes |= _pair("roi_heads.box_predictor.cls_score", classes + 1, 256)
    shapes |= _pair("roi_heads.box_predictor.bbox_pred", 4 * classes, 256)
    shapes |= {f"{mask}.deconv.weight": (CHANNELS, CHANNELS, 2, 2), f"{mask}.deconv.bias": (CHANNELS,)}
    return _tensors(shapes | _pair(f"{mask}.predictor", classes, CHANNELS, 1, 1))


def save_zoo(path, state):
    """As detectron2's model zoo: a pickle of arrays, not torch's."""
    content = {"model": {name: tensor.numpy() for name, tensor in state.items()}, "__author__": "Detectron2 Model Zoo"}
    path.write_bytes(pickle.dumps(content, protocol=2))


def selfpatch_maps(state, images, heads, taps=(3, 5, 7, 11)):
    """The four maps of SelfPatch's detection backbone, from its formulas."""
    grid = math.isqrt(state["backbone.pos_embed"].shape[1])
    kernel = state["backbone.patch_embed.proj.weight"]
    x = F.conv2d(images, kernel, state["backbone.patch_embed.proj.bias"], stride=16)
    height, width = x.shape[2:]
    table = state["backbone.pos_embed"].view(1, grid, grid, -1).permute(0, 3, 1, 2)
    scale = ((height + 0.1) / grid, (width + 0.1) / grid)
    x = (x + F.interpolate(table, scale_factor=scale, mode="bicubic")).flatten(2).transpose(1, 2)
    maps = []
    for i in range(DEPTH):
        own = {
            n.removeprefix(f"backbone.blocks.{i}."): t
            for n, t in state.items()
            if n.startswith(f"backbone.blocks.{i}.")
        }
        y = F.layer_norm(x, (WIDTH,), own["norm1.weight"], own["norm1.bias"], 1e-6)
        qkv = (
            F.linear(y, own["attn.qkv.weight"], own["attn.qkv.bias"])
            .unflatten(2, (3, heads, -1))
            .permute(2, 0, 3, 1, 4)
        )
        weights = (qkv[0] @ qkv[1].transpose(-2, -1) * (WIDTH // heads) ** -0.5).softmax(-1)
        y = (weights @ qkv[2]).transpose(1, 2).flatten(2)
        x = x + F.linear(y, own["attn.proj.weight"], own["attn.proj.bias"])
        y = F.layer_norm(x, (WIDTH,), own["norm2.weight"], own["norm2.bias"], 1e-6)
        y = F.gelu(F.linear(y, own["mlp.fc1.weight"], own["mlp.fc1.bias"]))
        x = x + F.linear(y, own["mlp.fc2.weight"], own["mlp.fc2.bias"])
        if i in taps:
            maps.append(x.transpose(1, 2).unflatten(2, (height, width)))

    def up(x, name):
        return F.conv_transpose2d(x, state[f"backbone.{name}.weight"], state[f"backbone.{name}.bias"], stride=2)

    norm = [state[f"backbone.fpn1.1.{name}"] for name in ("running_mean", "running_var", "weight", "bias")]
    first = up(F.gelu(F.batch_norm(up(maps[0], "fpn1.0"), *norm)), "fpn1.3")
    return first, up(maps[1], "fpn2.0"), maps[2], F.max_pool2d(maps[3], 2)


def mmseg_maps(state, images, heads):
    """The four maps of SelfPatch's segmentation backbone, on torch's own attention."""
    grid = math.isqrt(state["backbone.pos_embed"].shape[1])
    images = F.pad(images, (0, -images.shape[3] % 16, 0, -images.shape[2] % 16))
    kernel = state["backbone.patch_embed.projection.weight"]
    x = F.conv2d(images, kernel, state["backbone.patch_embed.projection.bias"], stride=16)
    size = x.shape[2:]
    table = state["backbone.pos_embed"].view(1, grid, grid, -1).permute(0, 3, 1, 2)
    x = (x + F.interpolate(table, size, mode="bicubic")).flatten(2).transpose(1, 2)
    maps = []
    for i in range(DEPTH):
        start = f"backbone.layers.{i}."
        own = {name.removeprefix(start): tensor for name, tensor in state.items() if name.startswith(start)}
        attention = torch.nn.MultiheadAttention(WIDTH, heads, batch_first=True)
        attention.load_state_dict({n.removeprefix("attn.attn."): t for n, t in own.items() if n.startswith("attn.")})
        y = F.layer_norm(x, (WIDTH,), own["ln1.weight"], own["ln1.bias"], 1e-6)
        x = x + attention(y, y, y, need_weights=False)[0]
        y = F.layer_norm(x, (WIDTH,), own["ln2.weight"], own["ln2.bias"], 1e-6)
        y = F.gelu(F.linear(y, own["ffn.layers.0.0.weight"], own["ffn.layers.0.0.bias"]))
        x = x + F.linear(y, own["ffn.layers.1.weight"], own["ffn.layers.1.bias"])
        if i in (2, 5, 8, 11):
            maps.append(x.transpose(1, 2).unflatten(2, tuple(size)))
    return maps
