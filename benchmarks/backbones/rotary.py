"""Rotary positions as DINOv3 has them: axial, from cell centres in [-1, 1], on patch tokens alone."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from timm.layers import Attention
from torch import nn


class RotaryPositions(nn.Module):
    """Angles for a token grid; ``periods`` ``[head_dim / 4]`` comes from the checkpoint.

    Each side has its own range, so the same periods serve every grid. One instance serves all blocks of a network:
    :meth:`prepare` sets the grid of the images at hand before the first block runs.
    Source: facebookresearch/dinov3, ``layers/rope_position_encoding.py``.
    """

    def __init__(self, head_dim: int) -> None:
        super().__init__()
        self.register_buffer("periods", torch.ones(head_dim // 4))
        self.sin = self.cos = torch.empty(0)

    def prepare(self, height: int, width: int) -> None:
        """Compute sine and cosine ``[height*width, head_dim]`` for a grid, in fp32."""
        periods = self.periods.float()
        centres = [(torch.arange(n, device=periods.device) + 0.5) / n * 2 - 1 for n in (height, width)]
        grid = torch.stack(torch.meshgrid(*centres, indexing="ij"), dim=-1).flatten(0, 1)  # [h*w, 2]
        angles = (2 * math.pi * grid[:, :, None] / periods).flatten(1).tile(2)
        self.sin, self.cos = angles.sin(), angles.cos()

    def rotate(self, x: torch.Tensor) -> torch.Tensor:
        """Rotate queries or keys ``[B, heads, prefix + h*w, head_dim]``; prefix tokens stay as they are."""
        prefix = x.shape[-2] - self.sin.shape[0]
        patches = x[:, :, prefix:].float()
        first, second = patches.chunk(2, dim=-1)
        turned = patches * self.cos + torch.cat((-second, first), dim=-1) * self.sin
        return torch.cat((x[:, :, :prefix], turned.to(x.dtype)), dim=-2)


class RotaryAttention(Attention):
    """timm's attention with rotated queries and keys."""

    rope: RotaryPositions  # the network's; not a submodule of each block, so that its tensor is there once

    def forward(self, x: torch.Tensor, attn_mask: torch.Tensor | None = None, is_causal: bool = False) -> torch.Tensor:
        batch, tokens, _ = x.shape
        qkv = self.qkv(x).reshape(batch, tokens, 3, self.num_heads, self.head_dim).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)
        q, k = self.rope.rotate(self.q_norm(q)), self.rope.rotate(self.k_norm(k))
        dropout = self.attn_drop.p if self.training else 0.0
        x = F.scaled_dot_product_attention(q, k, v, attn_mask=attn_mask, dropout_p=dropout, is_causal=is_causal)
        return self.proj_drop(self.proj(x.transpose(1, 2).reshape(batch, tokens, self.attn_dim)))


def share_rope(attention: RotaryAttention, rope: RotaryPositions) -> None:
    """Let a block use the network's positions without owning them."""
    object.__setattr__(attention, "rope", rope)
