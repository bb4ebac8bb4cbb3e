"""One file a family of checkpoints: how to recognise it, how to rename it, and the facts that no tensor tells.

A family is a module with ``recognises(content, tensors) -> bool`` and
``describe(content, tensors, heads) -> Described``. Adding one is adding a file and its name to
``FAMILIES``; the first that recognises a file gets it, so the most specific come first.
"""

from __future__ import annotations

from benchmarks.checkpoints.formats import dino, flsl

FAMILIES = (flsl, dino)

__all__ = ["FAMILIES", "dino", "flsl"]
