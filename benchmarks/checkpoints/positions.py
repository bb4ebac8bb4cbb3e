"""Positions that are computed: sine-cosine tables (MAE, FLSL, MoCo-v3, MAE-pytorch), rotary periods (DINOv3)."""

from __future__ import annotations

import torch


def sincos_mae(embed_dim: int, grid: int) -> torch.Tensor:
    """The 2-D sine-cosine table of MAE, which FLSL uses: fp32 ``[1, grid*grid, embed_dim]``, row-major.

    The first half of the channels encodes the column, the second half the row; in each half the
    sines come before the cosines. (MoCo-v3 has the halves the other way round.)
    Source: facebookresearch/mae, ``util/pos_embed.py``; ISL-CV/FLSL, ``utils.py``. Computed in
    fp64 and rounded once, as there.
    """
    if embed_dim % 4:
        raise ValueError(f"a 2-D sine-cosine table needs an embedding width divisible by 4, not {embed_dim}")
    quarter = embed_dim // 4
    frequencies = 10000.0 ** (-torch.arange(quarter, dtype=torch.float64) / quarter)
    angles = torch.arange(grid, dtype=torch.float64)[:, None] * frequencies
    along_axis = torch.cat([angles.sin(), angles.cos()], dim=1)  # [grid, embed_dim / 2]
    columns = along_axis[None, :, :].expand(grid, grid, -1)
    rows = along_axis[:, None, :].expand(grid, grid, -1)
    return torch.cat([columns, rows], dim=2).reshape(1, grid * grid, embed_dim).float()


def sinusoid(embed_dim: int, length: int) -> torch.Tensor:
    """The table of "Attention is all you need" for a sequence, fp32 ``[1, length, embed_dim]``: sines, cosines in turn.

    Source: pengzhiliang/MAE-pytorch, ``modeling_finetune.py``. Computed in fp64 and rounded once, as there.
    """
    channels = torch.arange(embed_dim, dtype=torch.float64)
    frequencies = 10000.0 ** (-2 * (channels // 2) / embed_dim)
    angles = torch.arange(length, dtype=torch.float64)[:, None] * frequencies
    return torch.where(channels % 2 == 0, angles.sin(), angles.cos())[None].float()


def rope_periods(base: float, head_dim: int) -> torch.Tensor:
    """The rotary periods of DINOv3 for heads of this width: fp32 ``[head_dim / 4]``, computed in fp32 as there."""
    return base ** (2 * torch.arange(head_dim // 4, dtype=torch.float32) / (head_dim // 2))


def position_kind(patches: torch.Tensor, prefix: torch.Tensor) -> str:
    """``sincos-mae``, ``sincos-moco`` or ``learned``: patch rows ``[1, N, D]`` and class rows ``[1, p, D]``.

    MoCo-v3's table is MAE's with its halves swapped, as a look at both programs and a comparison shows.
    """
    grid, width = round(patches.shape[1] ** 0.5), patches.shape[2]
    if width % 4 or prefix.any():
        return "learned"
    table = sincos_mae(width, grid)
    if torch.allclose(patches.float(), table, atol=1e-4):
        return "sincos-mae"
    if torch.allclose(patches.float(), table.roll(width // 2, dims=2), atol=1e-4):
        return "sincos-moco"
    return "learned"
