"""Canonical checkpoints on disk: ``NAME.safetensors`` with its card inside, and ``NAME.json`` beside it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open

from benchmarks.checkpoints.card import Card
from benchmarks.errors import InputError
from benchmarks.files import atomic_path, require_file, write_json

CARD_KEY = "card"


def write_canonical(path: str | os.PathLike[str], tensors: dict[str, torch.Tensor], card: Card) -> None:
    """Write ``tensors`` (timm key names) and their card to ``path``, and the card to ``path`` with ``.json``.

    Both files appear whole or not at all. The bytes depend on the tensors and the card only, so the
    same conversion gives the same file.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise InputError(f"{path}: a canonical checkpoint is named NAME.safetensors")
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in sorted(tensors.items())}
    with atomic_path(path) as temporary:
        safetensors.torch.save_file(tensors, temporary, metadata={CARD_KEY: json.dumps(card.to_dict(), sort_keys=True)})
    write_json(path.with_suffix(".json"), card.to_dict())


def is_canonical(path: str | os.PathLike[str]) -> bool:
    """Whether ``path`` is a safetensors file that carries a card."""
    path = Path(path)
    if path.suffix != ".safetensors" or not path.is_file():
        return False
    try:
        with safe_open(path, framework="pt") as stream:
            return CARD_KEY in (stream.metadata() or {})
    except SafetensorError:
        return False


def read_canonical(path: str | os.PathLike[str]) -> tuple[dict[str, torch.Tensor], Card]:
    """Read a canonical checkpoint: its tensors by timm name, and its card.

    Raises :class:`InputError` when the file is missing, broken, or has no card.
    """
    path = require_file(path, "checkpoint")
    try:
        with safe_open(path, framework="pt") as stream:
            metadata = stream.metadata() or {}
            if CARD_KEY not in metadata:
                raise InputError(f"{path} carries no card: convert it first with tools/convert.py")
            tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118 (not a dict)
    except SafetensorError as error:
        raise InputError(
            f"{path} is not a safetensors file ({error}): convert it first with tools/convert.py"
        ) from error
    return tensors, Card.from_dict(json.loads(metadata[CARD_KEY]), where=str(path))
