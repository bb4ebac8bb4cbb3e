"""The house ViT as ViTDet runs it: most blocks attend inside windows, with relative positions where asked for."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from timm.layers import Attention
from torch import nn

from benchmarks.backbones.vit import HouseViT, resize_position_table
from benchmarks.checkpoints.card import Architecture, ResizeRule
from benchmarks.errors import InputError

WINDOW = 14
#: ViTDet's rule for any depth: the last block of every quarter sees the whole image. Depth 12: 2, 5, 8, 11.
QUARTERS = 4


def global_blocks(depth: int) -> tuple[int, ...]:
    """Blocks without windows, counted from 0."""
    if depth < QUARTERS:
        raise InputError(f"a ViT of {depth} blocks has no {QUARTERS} for global attention: name them in the config")
    return tuple((quarter + 1) * depth // QUARTERS - 1 for quarter in range(QUARTERS))


def relative_rows(table: torch.Tensor, side: int) -> torch.Tensor:
    """A table of distances ``[2n-1, C]`` -> what each of ``side`` places has for each other: ``[side, side, C]``.

    A table for another side is resampled along its length, as detectron2 does.
    """
    distances = 2 * side - 1
    if len(table) != distances:
        table = F.interpolate(table.t()[None], size=distances, mode="linear")[0].t()
    places = torch.arange(side, device=table.device)
    return table[places[:, None] - places[None, :] + side - 1]


class WindowedAttention(Attention):
    """timm's attention on maps ``[B, h, w, D]``, in windows or over all of it, with its parameter names.

    ``window`` 0 is the whole map. Windows reach over the edge of the map; what is beyond it are zeros after the norm,
    which take part in the attention, as in ViTDet. ``relative`` is the side (in tokens) for which tables
    ``rel_pos_h`` and ``rel_pos_w`` are made, zero as ViTDet starts them; None: no relative positions.
    """

    def __init__(self, dim: int, num_heads: int, window: int = 0, relative: int | None = None, **options) -> None:
        super().__init__(dim, num_heads, **options)
        self.window = window
        self.rel_pos_h = self.rel_pos_w = None
        if relative is not None:
            self.rel_pos_h = nn.Parameter(torch.zeros(2 * relative - 1, self.head_dim))
            self.rel_pos_w = nn.Parameter(torch.zeros(2 * relative - 1, self.head_dim))

    def forward(self, x: torch.Tensor, attn_mask: None = None, is_causal: bool = False) -> torch.Tensor:
        """Map ``[B, h, w, D]`` -> map ``[B, h, w, D]``; timm's other arguments are not for images."""
        if not self.window:
            return self._attend(x)
        batch, height, width, dim = x.shape
        side = self.window
        x = F.pad(x, (0, 0, 0, -width % side, 0, -height % side))
        rows, columns = x.shape[1] // side, x.shape[2] // side
        x = x.view(batch, rows, side, columns, side, dim).transpose(2, 3).reshape(-1, side, side, dim)
        x = self._attend(x).view(batch, rows, columns, side, side, dim).transpose(2, 3)
        return x.reshape(batch, rows * side, columns * side, dim)[:, :height, :width]

    def _attend(self, x: torch.Tensor) -> torch.Tensor:
        batch, height, width, dim = x.shape
        qkv = self.qkv(x.reshape(batch, height * width, dim))
        qkv = qkv.reshape(batch, height * width, 3, self.num_heads, self.head_dim).permute(2, 0, 3, 1, 4)
        query, key, value = qkv.unbind(0)
        query, key = self.q_norm(query), self.k_norm(key)
        scale = None
        if self.rel_pos_h is not None:
            query, key, scale = self._with_positions(query, key, height, width)
            value = F.pad(value, (0, query.shape[-1] - self.head_dim))
        x = F.scaled_dot_product_attention(query, key, value, scale=scale)[..., : self.head_dim]
        return self.proj(x.transpose(1, 2).reshape(batch, height, width, dim))

    def _with_positions(
        self, query: torch.Tensor, key: torch.Tensor, height: int, width: int
    ) -> tuple[torch.Tensor, torch.Tensor, float]:
        """Queries and keys whose products hold the relative positions, so that no map of all pairs is ever stored.

        ViTDet adds ``q . R_h[y, y'] + q . R_w[x, x']`` to the product of the query at ``(y, x)`` and the key at
        ``(y', x')``. That is the product of longer vectors: beside the query all its ``q . R_h[y, :]`` and
        ``q . R_w[x, :]``, beside the key a one at its row and a one at its column. Source of the formula:
        facebookresearch/detectron2, ``modeling/backbone/utils.py``.
        """
        batch, heads = query.shape[:2]
        placed = query.view(batch, heads, height, width, -1)
        rows = torch.einsum("bnhwc,hkc->bnhwk", placed, relative_rows(self.rel_pos_h, height).to(query.dtype))
        columns = torch.einsum("bnhwc,wkc->bnhwk", placed, relative_rows(self.rel_pos_w, width).to(query.dtype))
        at_row = torch.eye(height, dtype=key.dtype, device=key.device).repeat_interleave(width, 0)
        at_column = torch.eye(width, dtype=key.dtype, device=key.device).repeat(height, 1)
        places = torch.cat((at_row, at_column), 1).expand(batch, heads, -1, -1)
        # Fused kernels want widths in eights.
        spare = -(query.shape[-1] + height + width) % 8
        longer = torch.cat((placed * self.scale, rows, columns), -1).flatten(2, 3)
        return F.pad(longer, (0, spare)), F.pad(torch.cat((key, places), -1), (0, spare)), 1.0


class WindowedViT(HouseViT):
    """The house ViT for ViTDet: one raw map of the last block, windows of ``window`` tokens, class token unused.

    ``state_dict`` is that of :class:`HouseViT`, with ``blocks.N.attn.rel_pos_{h,w}`` in addition where ``relative``
    is given: the side, in tokens, of the images to train on (1024 / 16 = 64; in windows the window's).
    Registers stand in no window and are left out with the class token.
    """

    def __init__(
        self,
        architecture: Architecture,
        resize: ResizeRule,
        drop_path_rate: float = 0.0,
        window: int = WINDOW,
        whole: tuple[int, ...] | None = None,
        relative: int | None = None,
    ) -> None:
        super().__init__(architecture, resize, drop_path_rate)
        a = architecture
        if a.position == "rope":
            raise InputError("rotary positions do not stand in windows: ViTDet needs a position table")
        if window < 0:
            raise InputError(f"windows of {window} tokens do not exist: give 0 for none or a positive number")
        self.whole = global_blocks(a.depth) if whole is None else tuple(whole)
        for index, block in enumerate(self.blocks):
            side = 0 if index in self.whole else window
            own = None if relative is None else side or relative
            options = {"qkv_bias": a.qkv_bias, "qk_norm": a.qk_norm, "norm_layer": type(block.norm1)}
            attention = WindowedAttention(a.embed_dim, a.num_heads, side, own, **options)
            if a.qk_norm:
                attention.q_norm.eps, attention.k_norm.eps = a.eps, a.eps
            attention.load_state_dict({**attention.state_dict(), **block.attn.state_dict()})
            block.attn = attention

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images ``[B, 3, H, W]``, sides multiples of the patch -> the last block's map ``[B, D, h, w]``."""
        x = self.patch_embed(images)
        height, width = x.shape[1:3]
        prefix, grid = self.architecture.position_prefix_rows, self.architecture.grid
        table = resize_position_table(self.pos_embed[:, prefix:], grid, (height, width), self.resize)
        x = x + table.view(1, height, width, -1)
        for block in self.blocks:
            x = block(x)
        return x.permute(0, 3, 1, 2)
