"""Which blocks of a ViT see the whole image in ViTDet. Known without timm, which takes seconds to import: for plans."""

from __future__ import annotations

from benchmarks.errors import InputError

#: ViTDet's rule for any depth: the last block of every quarter sees the whole image. Depth 12: 2, 5, 8, 11.
QUARTERS = 4


def global_blocks(depth: int) -> tuple[int, ...]:
    """Blocks without windows, counted from 0."""
    if depth < QUARTERS:
        raise InputError(f"a ViT of {depth} blocks has no {QUARTERS} for global attention")
    return tuple((quarter + 1) * depth // QUARTERS - 1 for quarter in range(QUARTERS))
