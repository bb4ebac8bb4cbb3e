"""One file a family of checkpoints. A new family is a new file here that defines ``FAMILIES``: nothing else changes."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from benchmarks.checkpoints.formats.family import Family, Refusal


@cache
def all_formats() -> tuple[Family | Refusal, ...]:
    """Every family and refusal of this folder, the most specific first."""
    found: list[Family | Refusal] = []
    for module in pkgutil.iter_modules(__path__):
        found += getattr(importlib.import_module(f"{__name__}.{module.name}"), "FAMILIES", ())
    return tuple(sorted(found, key=lambda family: (family.rank, family.method)))
