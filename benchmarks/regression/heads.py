"""The trained part of a small detector or segmenter, kept in the repository without its frozen backbone.

A run that finds a snapshot goes on from it. One made of the stored part alone, at the run's last step, leaves nothing
to train: what is scored is the checkpoint's backbone, loaded as in every run, under the stored part.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from benchmarks.checkpoints.canonical import write_safetensors
from benchmarks.checkpoints.container import open_foreign
from benchmarks.errors import InputError
from benchmarks.files import atomic_path, require_file

SNAPSHOT = "last.pth"  # as the engines call it

#: The frozen networks inside the engines' backbones.
_FROZEN = ("backbone.vit.", "backbone.network.")


def keep_trained_part(run: Path, target: Path, classes: Sequence[str], made: str) -> None:
    """Write the trained part of a finished run to ``target``, with its classes and how it was made.

    Matrices and kernels as fp16. Biases, norms and their statistics, which can be too large for it, stay fp32.
    """
    state = open_foreign(run / SNAPSHOT).content["state_dict"]
    trained = {name: tensor for name, tensor in state.items() if not name.startswith(_FROZEN)}
    trained = {name: tensor.half() if tensor.ndim > 1 else tensor for name, tensor in trained.items()}
    write_safetensors(target, trained, {"classes": json.dumps(list(classes)), "made": made})


def place_snapshot(stored: str | os.PathLike[str], run: Path, classes: Sequence[str], step: int) -> None:
    """Write a snapshot of step ``step`` from a stored part into the folder of a run to come.

    :class:`InputError` where the part is no such file or was trained for other ``classes``.
    """
    path = require_file(stored, "stored detector or segmenter")
    try:
        with safe_open(path, framework="pt") as stream:
            own = json.loads((stream.metadata() or {}).get("classes", "[]"))
            state = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, ValueError) as error:
        raise InputError(f"{path} is no stored detector or segmenter ({error}): make it with --make-weights") from error
    if own != list(classes):
        raise InputError(
            f"{path} knows {len(own)} classes ({', '.join(own[:2])} ...), the data has {len(classes)} others "
            f"({', '.join(classes[:2])} ...): make your own with --make-weights --weights FOLDER"
        )
    state = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    nothing_logged: dict[str, Any] = {"log_scalars": {}, "runtime_info": {}, "resumed_keys": {}}
    snapshot = {"meta": {"epoch": 0, "iter": step}, "state_dict": state, "message_hub": nothing_logged}
    with atomic_path(run / SNAPSHOT) as temporary:
        torch.save(snapshot, temporary)
