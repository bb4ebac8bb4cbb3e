"""Do all pictures decode? Every file is read to its end by the reader of the runs."""

from __future__ import annotations

from pathlib import Path

from benchmarks.images import read_all, read_rgb

__all__ = ["decode_size", "read_all"]


def decode_size(path: Path) -> tuple[int, ...]:
    """(height, width) of a picture, decoded whole and upright; InputError when it is broken or no picture."""
    return read_rgb(path).shape[:2]
