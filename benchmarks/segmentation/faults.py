"""All faults of a data set in one line: each kind with its count and its first example."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.errors import InputError

#: The label of pixels that are neither trained on nor scored.
VOID = 255


class Faults:
    """Collects what is wrong with the data at ``root``."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.kinds: dict[str, list[str]] = {}

    def add(self, kind: str, where: Path | str, detail: Any = None) -> None:
        """Note a fault of ``kind`` (in the plural) at a file below the root, or as a text of its own."""
        if isinstance(where, Path) and where.is_relative_to(self.root):
            where = where.relative_to(self.root)
        self.kinds.setdefault(kind, []).append(f"{where}" if detail is None else f"{where}: {detail}")

    def end(self) -> None:
        """:class:`InputError` if there was any."""
        if self.kinds:
            parts = [f"{len(found)} {kind} (first: {min(found)})" for kind, found in self.kinds.items()]
            raise InputError(f"{self.root}: {'; '.join(parts)}: mend or remove these files")
