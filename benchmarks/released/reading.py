"""A fine-tuned detector or segmenter as its file holds it: tensors by their program's names, and its own words."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.checkpoints.container import facts_of, open_foreign
from benchmarks.checkpoints.formats.openmmlab import backbone_settings
from benchmarks.errors import InputError
from benchmarks.files import require_file, sha256_of

#: Where programs keep the tensors: OpenMMLab's runners, detectron2's checkpointers.
BRANCHES = ("state_dict", "model")


@dataclass(frozen=True)
class FineTuned:
    """``classes`` and ``backbone`` (the keywords of its config) are the file's own words; None and empty without."""

    path: Path
    sha256: str
    tensors: Mapping[str, torch.Tensor]
    classes: tuple[str, ...] | None
    backbone: Mapping[str, Any]


def open_finetuned(path: str | os.PathLike[str]) -> FineTuned:
    """Open a file of mmdet, mmseg or detectron2; nothing in it is run. :class:`InputError` where it is none."""
    path = require_file(path, "detector")
    opened = open_foreign(path)
    content = opened.content
    branch = next((n for n in BRANCHES if isinstance(content, dict) and isinstance(content.get(n), dict)), None)
    state = content[branch] if branch else content
    if not isinstance(state, dict):
        raise InputError(f"{path} holds no tensors by name: give the file of a detector or a segmenter")
    tensors = {str(name): value for name, value in state.items() if isinstance(value, torch.Tensor)}
    if tensors and all(name.startswith("module.") for name in tensors):  # as a data-parallel wrapper saves them
        tensors = {name.removeprefix("module."): value for name, value in tensors.items()}
    if not tensors:
        raise InputError(f"{path} holds no tensors by name: give the file of a detector or a segmenter")
    meta = facts_of(content.get("meta")) if isinstance(content, dict) else {}
    classes: Any = meta.get("CLASSES") or facts_of(meta.get("dataset_meta")).get("classes")
    named = isinstance(classes, list | tuple) and all(isinstance(name, str) for name in classes)
    settings = backbone_settings(opened, ("SelfPatch_ViT",))
    return FineTuned(path, sha256_of(path), tensors, tuple(classes) if named else None, settings)
