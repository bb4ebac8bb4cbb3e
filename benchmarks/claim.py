"""A run's folder is its own: no other run goes on from the snapshot that lies there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.errors import InputError
from benchmarks.files import read_json, write_json


def claim(folder: Path, identity: dict[str, Any]) -> None:
    """Mark ``folder`` with what identifies a run; :class:`InputError` where another run's mark is there."""
    mark = folder / "run.json"
    if mark.is_file() and read_json(mark) != identity:
        raise InputError(f"{folder} holds a run with another checkpoint, data or options: choose another --out")
    write_json(mark, identity)
