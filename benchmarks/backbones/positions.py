"""Fixed sine-cosine position tables."""

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
