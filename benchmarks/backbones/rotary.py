"""Rotary positions as DINOv3 has them: axial, from cell centres in [-1, 1], on patch tokens alone."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from timm.layers import Attention
from timm.models.vision_transformer import Block
from torch import nn
from torch.utils.checkpoint import checkpoint


class RotaryPositions(nn.Module):
    """Angles for a token grid; ``periods`` ``[head_dim / 4]`` comes from the checkpoint.

    Each side has its own range, so the same periods serve every grid. Nothing is kept from call to call: networks are
    called from several threads, with images of several sizes. Source: facebookresearch/dinov3,
    ``layers/rope_position_encoding.py``.
    """

    periods: torch.Tensor

    def __init__(self, head_dim: int) -> None:
        super().__init__()
        self.register_buffer("periods", torch.ones(head_dim // 4))

    def forward(self, height: int, width: int) -> torch.Tensor:
        """Sine and cosine of a grid's angles, fp32 ``[2, height*width, head_dim]``."""
        periods = self.periods.float()
        centres = [(torch.arange(n, device=periods.device) + 0.5) / n * 2 - 1 for n in (height, width)]
        grid = torch.stack(torch.meshgrid(*centres, indexing="ij"), dim=-1).flatten(0, 1)  # [h*w, 2]
        angles = (2 * math.pi * grid[:, :, None] / periods).flatten(1).tile(2)
        return torch.stack((angles.sin(), angles.cos()))


def rotate(x: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
    """Rotate queries or keys ``[B, heads, prefix + h*w, head_dim]`` by ``angles``; prefix tokens stay as they are."""
    sine, cosine = angles
    prefix = x.shape[-2] - len(sine)
    patches = x[:, :, prefix:].float()
    first, second = patches.chunk(2, dim=-1)
    turned = patches * cosine + torch.cat((-second, first), dim=-1) * sine
    return torch.cat((x[:, :, :prefix], turned.to(x.dtype)), dim=-2)


class RotaryAttention(Attention):
    """timm's attention with rotated queries and keys.

    The angles come in as ``attn_mask``: the one argument that timm hands from a network's forward to every attention,
    and images need no mask.
    """

    def forward(self, x: torch.Tensor, attn_mask: torch.Tensor | None = None, is_causal: bool = False) -> torch.Tensor:
        """Tokens ``[B, N, D]`` and the angles of their grid (:class:`RotaryPositions`) -> ``[B, N, D]``."""
        if attn_mask is None:
            raise RuntimeError("rotary attention was called without angles: call the network, or give its block them")
        batch, tokens, _ = x.shape
        qkv = self.qkv(x).reshape(batch, tokens, 3, self.num_heads, self.head_dim).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)
        q, k = rotate(self.q_norm(q), attn_mask), rotate(self.k_norm(k), attn_mask)
        dropout = self.attn_drop.p if self.training else 0.0
        x = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=is_causal)
        return self.proj_drop(self.proj(x.transpose(1, 2).reshape(batch, tokens, self.attn_dim)))


class RotaryBlock(Block):
    """timm's block; recomputes its activations where ``checkpointing``, as timm does only for blocks without masks."""

    checkpointing = False

    def forward(self, x: torch.Tensor, attn_mask: torch.Tensor | None = None, is_causal: bool = False) -> torch.Tensor:
        """Tokens ``[B, N, D]`` and the angles of their grid -> ``[B, N, D]``."""
        if self.checkpointing and torch.is_grad_enabled():
            return checkpoint(super().forward, x, attn_mask, is_causal, use_reentrant=False)
        return super().forward(x, attn_mask, is_causal)
