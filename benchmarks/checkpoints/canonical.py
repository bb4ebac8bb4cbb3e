"""Canonical checkpoints on disk: ``NAME.safetensors`` with its card inside, and ``NAME.json`` beside it."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from benchmarks.checkpoints.card import Card
from benchmarks.errors import InputError
from benchmarks.files import atomic_path, require_file, write_json

CARD_KEY = "card"


#: The format's names of the types that a network can have here.
TYPE_NAMES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
}
BLOCK = 1 << 24


def write_canonical(path: str | os.PathLike[str], tensors: Mapping[str, torch.Tensor], card: Card) -> None:
    """Write ``tensors`` (timm key names) and their card to ``path``, and the card to ``path`` with ``.json``.

    Both files appear whole or not at all. The bytes depend on the tensors and the card only, so the
    same conversion gives the same file.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise InputError(f"{path}: a canonical checkpoint is named NAME.safetensors")
    write_safetensors(path, tensors, {CARD_KEY: json.dumps(card.to_dict(), sort_keys=True)})
    write_json(path.with_suffix(".json"), card.to_dict())


def write_safetensors(path: Path, tensors: Mapping[str, torch.Tensor], metadata: dict[str, str]) -> None:
    """Write the safetensors format one tensor at a time: a file of any size costs the memory of its largest tensor.

    Format: 8 bytes with the length of a JSON header (little-endian), the header, the values. Wide types come first,
    so that every tensor is aligned.
    """
    plan = []
    for name in tensors:
        tensor = tensors[name]
        plan.append((-tensor.dtype.itemsize, name, TYPE_NAMES[tensor.dtype], list(tensor.shape), tensor.nbytes))
    header: dict[str, object] = {"__metadata__": metadata}
    offset = 0
    for _, name, kind, shape, size in sorted(plan):
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with atomic_path(path) as temporary, open(temporary, "wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        for _, name, *_ in sorted(plan):
            values = tensors[name].detach().cpu().contiguous().reshape(-1).view(torch.uint8)
            for start in range(0, values.numel(), BLOCK):
                stream.write(values[start : start + BLOCK].numpy().data)


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
    with _opened(path) as stream:
        tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118 (not a dict)
        return tensors, _card(stream, path)


def read_card(path: str | os.PathLike[str]) -> Card:
    """The card of a canonical checkpoint, none of whose tensors is read; errors as of :func:`read_canonical`."""
    path = require_file(path, "checkpoint")
    with _opened(path) as stream:
        return _card(stream, path)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with safe_open(path, framework="pt") as stream:
            if CARD_KEY not in (stream.metadata() or {}):
                raise InputError(f"{path} carries no card: convert it first with tools/convert.py")
            yield stream
    except SafetensorError as error:
        raise InputError(
            f"{path} is not a safetensors file ({error}): convert it first with tools/convert.py"
        ) from error


def _card(stream: Any, path: Path) -> Card:
    try:
        data = json.loads(stream.metadata()[CARD_KEY])
    except ValueError as error:
        raise InputError(f"{path}: the card is no JSON ({error}): convert the source file again") from error
    return Card.from_dict(data, where=str(path))
