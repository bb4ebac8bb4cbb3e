"""The house ViT as ViTDet runs it: most blocks attend inside windows, with relative positions where asked for."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from timm.layers import Attention
from torch import nn
from torch.utils.checkpoint import checkpoint

from benchmarks.backbones.global_blocks import global_blocks
from benchmarks.backbones.rotary import rotate
from benchmarks.backbones.vit import HouseViT
from benchmarks.checkpoints.card import Architecture, ResizeRule
from benchmarks.errors import InputError

WINDOW = 14


def windows(x: torch.Tensor, side: int) -> torch.Tensor:
    """Map ``[B, h, w, D]``, sides multiples of ``side`` -> its windows ``[B * windows, side, side, D]``, row-major."""
    batch, height, width, dim = x.shape
    x = x.view(batch, height // side, side, width // side, side, dim).transpose(2, 3)
    return x.reshape(-1, side, side, dim)


def joined(x: torch.Tensor, batch: int, height: int, width: int, side: int) -> torch.Tensor:
    """The inverse of :func:`windows`, cut to ``[batch, height, width, D]``."""
    rows, columns = -(-height // side), -(-width // side)
    x = x.view(batch, rows, columns, side, side, -1).transpose(2, 3)
    return x.reshape(batch, rows * side, columns * side, -1)[:, :height, :width]


def relative_rows(table: torch.Tensor, side: int) -> torch.Tensor:
    """A table of distances ``[2n-1, C]`` -> what each of ``side`` places has for each other: ``[side, side, C]``.

    A table for another side is resampled along its length, as detectron2 does.
    """
    distances = 2 * side - 1
    if len(table) != distances:
        table = F.interpolate(table.t()[None], size=distances, mode="linear")[0].t()
    places = torch.arange(side, device=table.device)
    return table[places[:, None] - places[None, :] + side - 1]


class Grid(NamedTuple):
    """How the tokens ``[B, prefix + h*w, D]`` of a call lie, and the rotary angles of the map and of a window."""

    height: int
    width: int
    angles: torch.Tensor | None = None
    window_angles: torch.Tensor | None = None


class WindowedAttention(Attention):
    """timm's attention on a map's tokens, in windows or over all of it, with its parameter names.

    ``window`` 0 is the whole map. Windows reach over the edge of the map; what is beyond it are zeros after the norm,
    which take part in the attention, as in ViTDet. ``relative`` is the side (in tokens) for which tables
    ``rel_pos_h`` and ``rel_pos_w`` are made, zero as ViTDet starts them; None: no relative positions.

    Rotary angles in a window are those of a picture of the window's size, as in EVA-02's and PE's detectors. Class
    token and registers, where they come along, see the whole map in every block, and every window sees them.
    """

    rel_pos_h: Any  # as rel_pos_w, a parameter or None
    rel_pos_w: Any

    def __init__(self, dim: int, num_heads: int, window: int = 0, relative: int | None = None, **options) -> None:
        super().__init__(dim, num_heads, **options)
        self.window = window
        self.rel_pos_h = self.rel_pos_w = None
        if relative is not None:
            self.rel_pos_h = nn.Parameter(torch.zeros(2 * relative - 1, self.head_dim))
            self.rel_pos_w = nn.Parameter(torch.zeros(2 * relative - 1, self.head_dim))

    def forward(self, x: torch.Tensor, attn_mask: Grid | None = None, is_causal: bool = False) -> torch.Tensor:  # type: ignore[override]
        """Tokens ``[B, prefix + h*w, D]`` -> the same; ``attn_mask`` is timm's name for what blocks hand down."""
        if attn_mask is None:
            raise RuntimeError("windowed attention was called without a grid: call the network, or give its block one")
        prefix = x.shape[1] - attn_mask.height * attn_mask.width
        places = x[:, prefix:].unflatten(1, attn_mask[:2])
        if not prefix:
            return self._places(places, attn_mask, None)[0].flatten(1, 2)
        query, key, value = self._heads(x[:, :prefix])
        found, keys, values = self._places(places, attn_mask, (key, value))
        if attn_mask.angles is not None:
            keys = rotate(keys, attn_mask.angles)
        mixed = F.scaled_dot_product_attention(query, torch.cat((key, keys), 2), torch.cat((value, values), 2))
        first = self.proj(mixed.transpose(1, 2).flatten(2))
        return torch.cat((first, found.flatten(1, 2)), 1)

    def _heads(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Tokens ``[B, N, D]`` -> normed queries and keys, and values, ``[B, heads, N, C]``."""
        qkv = self.qkv(x).unflatten(2, (3, self.num_heads, self.head_dim)).permute(2, 0, 3, 1, 4)
        query, key, value = qkv.unbind(0)
        return self.q_norm(query), self.k_norm(key), value

    def _places(
        self, x: torch.Tensor, grid: Grid, prefix: tuple[torch.Tensor, torch.Tensor] | None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Map ``[B, h, w, D]`` -> map, and its keys (before any rotation) and values ``[B, heads, h*w, C]``."""
        batch, height, width, _ = x.shape
        side, angles = self.window, grid.window_angles if self.window else grid.angles
        if side:
            x = windows(F.pad(x, (0, 0, 0, -width % side, 0, -height % side)), side)
        rows, columns = x.shape[1:3]
        query, key, value = self._heads(x.flatten(1, 2))
        plain, scale = (key, value), None
        if angles is not None:
            query, key = rotate(query, angles), rotate(key, angles)
        if prefix is not None:
            copies = len(x) // batch
            key, value = (
                torch.cat((own.repeat_interleave(copies, 0), other), 2)
                for own, other in zip(prefix, (key, value), strict=True)
            )
        if self.rel_pos_h is not None:
            query, key, scale = self._with_positions(query, key, rows, columns)
            value = F.pad(value, (0, query.shape[-1] - self.head_dim))
        mixed = F.scaled_dot_product_attention(query, key, value, scale=scale)[..., : self.head_dim]
        found = self.proj(mixed.transpose(1, 2).flatten(2)).unflatten(1, (rows, columns))

        def whole(y: torch.Tensor) -> torch.Tensor:  # [B or windows, rows, columns, *] -> [B, h, w, *]
            return joined(y, batch, height, width, side) if side else y

        if prefix is None:
            return whole(found), key, value
        keys, values = (
            whole(y.transpose(1, 2).flatten(2).unflatten(1, (rows, columns)))
            .flatten(1, 2)
            .unflatten(2, (self.num_heads, self.head_dim))
            .transpose(1, 2)
            for y in plain
        )
        return whole(found), keys, values

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
    """The house ViT for ViTDet: one raw map of the last block, most blocks in windows of ``window`` tokens.

    ``state_dict`` is that of :class:`HouseViT`, with ``blocks.N.attn.rel_pos_{h,w}`` in addition where ``relative``
    is given: the side, in tokens, of the images to train on (1024 / 16 = 64; in windows the window's).
    ``prefix``: whether class token and registers come along; ViTDet itself leaves the class token out.
    """

    def __init__(
        self,
        architecture: Architecture,
        resize: ResizeRule,
        drop_path_rate: float = 0.0,
        window: int = WINDOW,
        whole: tuple[int, ...] | None = None,
        relative: int | None = None,
        prefix: bool = False,
    ) -> None:
        super().__init__(architecture, resize, drop_path_rate)
        a = architecture
        if window < 0:
            raise InputError(f"windows of {window} tokens do not exist: give 0 for none or a positive number")
        if relative is not None and (a.position == "rope" or prefix):
            what = "class token and registers" if prefix else "rotary positions"
            raise InputError(f"relative positions are not for {what}: leave them out, as the checkpoint did")
        self.whole = global_blocks(a.depth) if whole is None else tuple(whole)
        self.window, self.prefix = window, prefix
        for index, block in enumerate(self.blocks):
            side = 0 if index in self.whole else window
            own = None if relative is None else side or relative
            options = {"qkv_bias": a.qkv_bias, "qk_norm": a.qk_norm, "norm_layer": type(block.norm1)}
            attention = WindowedAttention(a.embed_dim, a.num_heads, side, own, **options)
            if a.qk_norm:
                attention.q_norm.eps, attention.k_norm.eps = a.eps, a.eps
            attention.load_state_dict({**attention.state_dict(), **block.attn.state_dict()})
            block.attn = attention

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Recompute the activations of each block in the backward pass instead of keeping them."""
        self.grad_checkpointing = enable

    def forward(self, images: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        """Images ``[B, 3, H, W]``, sides multiples of the patch -> the last block's map ``[B, D, h, w]``."""
        places = self.patch_embed(images)
        height, width = places.shape[1:3]
        left_out = 0 if self.prefix else self.num_prefix_tokens
        x = self._pos_embed(places)[:, left_out:]
        grid = Grid(height, width)
        if self.rope is not None:
            window = self.rope(self.window, self.window) if self.window else None
            grid = grid._replace(angles=self.rope(height, width), window_angles=window)
        for block in self.blocks:
            if self.grad_checkpointing and torch.is_grad_enabled():
                x = checkpoint(block, x, grid, use_reentrant=False)
            else:
                x = block(x, grid)
        return x[:, -height * width :].transpose(1, 2).unflatten(2, (height, width))
