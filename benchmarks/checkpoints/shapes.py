"""Every tensor of the house's networks with its shape, as a function of the architecture alone.

What :class:`benchmarks.backbones.vit.HouseViT` and :class:`benchmarks.backbones.resnet.HouseResNet` hold
(a test compares them). Conversion checks against this list, so it builds no network.
"""

from __future__ import annotations

from benchmarks.checkpoints.card import Architecture, ResNetArchitecture, TimmArchitecture

Shapes = dict[str, tuple[int, ...]]


def tensor_shapes(architecture: Architecture | ResNetArchitecture | TimmArchitecture) -> Shapes:
    """Canonical name -> shape. Of a network of timm's: what timm makes of the description, without values."""
    if isinstance(architecture, TimmArchitecture):
        from benchmarks.checkpoints.timm_networks import describe

        a = architecture
        network = describe(a.name, a.arguments, a.eps, a.norm_tokens)[1]
        return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    return _resnet(architecture) if isinstance(architecture, ResNetArchitecture) else _vit(architecture)


def _linear(name: str, out: int, into: int, bias: bool = True) -> Shapes:
    return {f"{name}.weight": (out, into)} | ({f"{name}.bias": (out,)} if bias else {})


def _norm(name: str, width: int) -> Shapes:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def _vit(a: Architecture) -> Shapes:
    d = a.embed_dim
    shapes: Shapes = {
        "patch_embed.proj.weight": (d, 3, a.patch_size, a.patch_size),
        "patch_embed.proj.bias": (d,),
    }
    if a.class_token:
        shapes["cls_token"] = (1, 1, d)
    if a.registers:
        shapes["reg_token"] = (1, a.registers, d)
    if a.position == "rope":
        shapes["rope.periods"] = (d // a.num_heads // 4,)
    else:
        shapes["pos_embed"] = (1, a.position_prefix_rows + a.grid**2, d)
    for i in range(a.depth):
        block = f"blocks.{i}"
        shapes |= _norm(f"{block}.norm1", d) | _linear(f"{block}.attn.qkv", 3 * d, d, a.qkv_bias)
        if a.qk_norm:
            shapes |= _norm(f"{block}.attn.q_norm", d // a.num_heads) | _norm(f"{block}.attn.k_norm", d // a.num_heads)
        shapes |= _linear(f"{block}.attn.proj", d, d) | _norm(f"{block}.norm2", d)
        shapes |= _linear(f"{block}.mlp.fc1", a.hidden * (2 if a.mlp == "swiglu" else 1), d)
        shapes |= _linear(f"{block}.mlp.fc2", d, a.hidden)
        if a.layer_scale:
            shapes |= {f"{block}.ls1.gamma": (d,), f"{block}.ls2.gamma": (d,)}
    return shapes | (_norm("norm", d) if a.final_norm else {})


def _batch_norm(name: str, width: int) -> Shapes:
    statistics = {f"{name}.running_mean": (width,), f"{name}.running_var": (width,)}
    return _norm(name, width) | statistics | {f"{name}.num_batches_tracked": ()}


def _resnet(a: ResNetArchitecture) -> Shapes:
    shapes: Shapes = {"conv1.weight": (a.stem, 3, 7, 7)} | _batch_norm("bn1", a.stem)
    into = a.stem
    for stage, (blocks, inner, out) in enumerate(zip(a.blocks, a.inner, a.widths, strict=True), start=1):
        for i in range(blocks):
            block = f"layer{stage}.{i}"
            channels = (into, *[inner] * (len(a.convolutions) - 1), out)
            for n, (kernel, _) in enumerate(a.convolutions, start=1):
                shapes[f"{block}.conv{n}.weight"] = (channels[n], channels[n - 1], kernel, kernel)
                shapes |= _batch_norm(f"{block}.bn{n}", channels[n])
            if i == 0 and (stage > 1 or into != out):
                shapes[f"{block}.downsample.0.weight"] = (out, into, 1, 1)
                shapes |= _batch_norm(f"{block}.downsample.1", out)
            into = out
    return shapes
