"""What a plan says of memory, kept between commands: asking the engine takes seconds and its imports more."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.core.data import KeptFacts


def memory_lines(checkpoint: Path, asked: Mapping[str, Any], measure: Callable[[], str]) -> list[str]:
    """What ``measure`` says of the network of a checkpoint; measured again only where ``asked`` is another question.

    A network that cannot be measured is no fault of the plan's: the line says why.
    """
    digest = hashlib.sha256(json.dumps(asked, sort_keys=True, default=str).encode()).hexdigest()
    kept = KeptFacts(checkpoint.parent, "memory-1")
    try:
        line: str = kept.of(checkpoint, lambda _: measure(), f" {digest}")
    except Exception as error:
        return [f"memory: not predicted ({type(error).__name__}: {' '.join(str(error).split())[:200]})"]
    kept.save()
    return [line]
