"""Which of timm's networks the house's ViT is: told by what timm makes of the name, part by part.

Only parts that are listed here are accepted; anything else (another block, a rotation, a norm before the blocks, rows
of registers in the table) leaves the network to timm's own class. A test compares both for every architecture.
"""

from __future__ import annotations

from typing import Any

from torch import nn

GELU = {"none": "gelu", "tanh": "gelu-tanh"}


def house_facts(network: nn.Module) -> dict[str, Any] | None:
    """``heads``, ``eps``, ``activation`` and ``prefix_rows`` of a network that the house's ViT is; else None.

    A network with DINOv3's rotary positions also has ``rope_base``.
    """
    from timm.models.eva import Eva
    from timm.models.vision_transformer import VisionTransformer

    if type(network) is VisionTransformer:
        return _plain(network)
    return _dinov3(network) if type(network) is Eva else None


# Any: timm's annotations know fewer kinds of parts than its constructors make.
def _plain(network: Any) -> dict[str, Any] | None:
    from timm.layers import Attention, PatchEmbed
    from timm.models.vision_transformer import Block

    embed = network.patch_embed
    if type(embed) is not PatchEmbed or not _is_identity(embed.norm, network.norm_pre) or embed.proj.bias is None:
        return None
    if embed.patch_size[0] != embed.patch_size[1] or embed.grid_size[0] != embed.grid_size[1]:
        return None
    rows = network.pos_embed.shape[1] - embed.num_patches if network.pos_embed is not None else -1
    if rows not in (0, 1) or (rows == 1 and (not network.has_class_token or network.num_reg_tokens)):
        return None
    activations: set[str | None] = set()
    for block in network.blocks:
        attention = block.attn if type(block) is Block else None
        if type(attention) is not Attention or not _is_identity(attention.norm):
            return None
        if attention.head_dim * attention.num_heads != network.embed_dim or attention.proj.bias is None:
            return None
        activations.add(_activation(block.mlp))
    eps = _eps(network)
    if len(activations) != 1 or None in activations or eps is None:
        return None
    heads = {block.attn.num_heads for block in network.blocks}
    return {"heads": heads.pop(), "eps": eps, "activation": activations.pop(), "prefix_rows": rows}


def _dinov3(network: Any) -> dict[str, Any] | None:
    from timm.layers import RotaryEmbeddingDinoV3
    from timm.models.eva import EvaAttention, EvaBlock

    rope = network.rope
    if type(rope) is not RotaryEmbeddingDinoV3 or network.pos_embed is not None or not _is_identity(network.norm_pre):
        return None
    usual = {"temperature": 100.0, "rotate_half": True, "grid_offset": 0.0, "grid_indexing": "ij"}
    usual |= {"normalize_coords": "separate", "shift_coords": None, "jitter_coords": None, "rescale_coords": None}
    if any(getattr(rope, name, value) != value for name, value in usual.items()) or network.cls_token is None:
        return None
    activations: set[str | None] = set()
    for block in network.blocks:
        attention = block.attn if type(block) is EvaBlock else None
        if type(attention) is not EvaAttention or attention.qkv is None or not _is_identity(attention.norm):
            return None
        if block.gamma_1 is None or block.gamma_2 is None or not _is_identity(attention.q_norm):
            return None
        activations.add(_activation(block.mlp))
    eps = _eps(network)
    if len(activations) != 1 or None in activations or eps is None or _is_identity(network.norm):
        return None
    heads = {block.attn.num_heads for block in network.blocks}
    return {"heads": heads.pop(), "eps": eps, "activation": activations.pop(), "rope_base": rope.temperature}


def _activation(mlp: nn.Module) -> str | None:
    """The activation of a plain or gated MLP of the house; None for any other."""
    from timm.layers import GluMlp, Mlp, SwiGLU
    from timm.layers.activations import GELUTanh

    if type(mlp) is Mlp and _is_identity(mlp.norm):
        if type(mlp.act) is GELUTanh:
            return "gelu-tanh"
        return GELU.get(mlp.act.approximate) if type(mlp.act) is nn.GELU else None
    if type(mlp) is GluMlp and _is_identity(mlp.norm) and not mlp.gate_last and type(mlp.act) is nn.SiLU:
        return "silu"
    if type(mlp) is SwiGLU and _is_identity(mlp.norm) and type(mlp.act) is nn.SiLU:
        return "silu"
    return None


def _eps(network: nn.Module) -> float | None:
    """The one eps of all norms that tokens pass; None when there are several, or a norm is of another kind."""
    found = set()
    for name, part in network.named_modules():
        if name.split(".")[0] in ("fc_norm", "attn_pool", "head"):
            continue
        if "norm" in name.rpartition(".")[2] and not _is_identity(part):
            if not isinstance(part, nn.LayerNorm) or part.bias is None:
                return None
            found.add(part.eps)
    return found.pop() if len(found) == 1 else None


def _is_identity(*parts: nn.Module | None) -> bool:
    return all(part is None or type(part) is nn.Identity for part in parts)
