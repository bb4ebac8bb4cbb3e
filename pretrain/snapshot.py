"""The training file: FLSL's published layout, written atomically, readable without running anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from benchmarks.errors import InputError
from benchmarks.files import atomic_path


def save_snapshot(path: Path, state: dict[str, Any]) -> None:
    """Write ``state`` (tensors and plain containers only) so that a crash leaves the old file or the new one."""
    with atomic_path(path) as temporary:
        torch.save(state, temporary)


def load_snapshot(path: Path) -> dict[str, Any]:
    """Read a snapshot back on the CPU; :class:`InputError` when the file is not one."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a file that is no checkpoint
        raise InputError(
            f"{path} cannot be resumed from ({type(error).__name__}): move it away to start anew"
        ) from error
    if not isinstance(state, dict) or "step" not in state:
        raise InputError(f"{path} is a checkpoint, but not a snapshot of this program: move it away to start anew")
    return state
