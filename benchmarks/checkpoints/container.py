"""Opens foreign checkpoint files without running them."""

from __future__ import annotations

import os
import pickle
import types
from collections import OrderedDict
from pathlib import Path
from typing import Any, NamedTuple

import safetensors.torch
import torch
from safetensors import SafetensorError

from benchmarks.errors import InputError
from benchmarks.files import require_file

#: What the inert unpickler builds for real: tensors, and the plain containers around them.
TENSOR_BUILDERS = {
    ("torch._utils", "_rebuild_tensor_v2"),
    ("torch._utils", "_rebuild_tensor"),
    ("torch._utils", "_rebuild_parameter"),
}


class Opened(NamedTuple):
    """A file's content, and the foreign globals it names (never imported, never called)."""

    content: Any
    foreign_globals: tuple[str, ...]


class Inert:
    """Stands for an object of a foreign class: keeps the state it was saved with, does nothing."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        self.arguments = arguments

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __setitem__(self, key: Any, value: Any) -> None:  # foreign dict subclasses fill themselves
        self.__dict__.setdefault("items", []).append((key, value))

    def append(self, value: Any) -> None:  # foreign list subclasses do so too
        self.__dict__.setdefault("items", []).append((None, value))

    def extend(self, values: Any) -> None:
        for value in values:
            self.append(value)

    def __call__(self, *arguments: Any, **keywords: Any) -> Inert:
        return Inert(*arguments)


def facts_of(value: Any) -> dict[str, Any]:
    """The attributes that an inert object (an ``argparse.Namespace``, say) or a dict was saved with."""
    if isinstance(value, dict):
        return value
    state = getattr(value, "state", None)
    return state if isinstance(state, dict) else {}


def _inert_pickle(found: set[str]) -> types.ModuleType:
    """A stand-in for the ``pickle`` module that ``torch.load`` drives; foreign globals are noted in ``found``."""

    class Unpickler(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            if (module, name) in TENSOR_BUILDERS:
                return getattr(torch._utils, name)
            if (module, name) == ("collections", "OrderedDict"):
                return OrderedDict
            if module == "torch" and name.endswith("Storage") and hasattr(torch, name):
                return getattr(torch, name)
            if module == "torch.storage" and name in ("UntypedStorage", "TypedStorage"):
                return getattr(torch.storage, name)
            if module == "torch" and isinstance(getattr(torch, name, None), (torch.dtype, torch.layout)):
                return getattr(torch, name)
            found.add(f"{module}.{name}")
            return type(name, (Inert,), {})

    def load(stream: Any, **keywords: Any) -> Any:
        return Unpickler(stream, **keywords).load()

    module = types.ModuleType("inert_pickle")
    module.Unpickler, module.load = Unpickler, load
    return module


def open_foreign(path: str | os.PathLike[str]) -> Opened:
    """Open a checkpoint of unknown origin: safetensors, or a torch file of the zip or the legacy form.

    Tensors come to the CPU. First ``weights_only``; where a file names other globals, the inert
    unpickler, which builds tensors and plain containers and puts an :class:`Inert` in the place of
    everything else. Plain unpickling is never done. :class:`InputError` when the file is no checkpoint.
    """
    path = require_file(path, "checkpoint")
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty: copy the checkpoint again")
    if path.suffix == ".safetensors":
        try:
            return Opened(safetensors.torch.load_file(path), ())
        except SafetensorError as error:
            raise InputError(f"{path} is not a safetensors file ({error}): copy it again") from error
    if not _looks_like_torch(path):
        raise InputError(f"{path} is not a checkpoint (neither a zip archive nor a pickle): check the path")
    try:
        return Opened(torch.load(path, map_location="cpu", weights_only=True), ())
    except Exception:
        found: set[str] = set()
    try:
        content = torch.load(path, map_location="cpu", weights_only=False, pickle_module=_inert_pickle(found))
    except Exception as error:
        reason = str(error).strip().splitlines()
        raise InputError(
            f"{path} cannot be read as a torch checkpoint ({type(error).__name__}: {reason[0] if reason else ''}): "
            "it may be truncated, copy it again"
        ) from error
    return Opened(content, tuple(sorted(found)))


def _looks_like_torch(path: Path) -> bool:
    with open(path, "rb") as stream:
        start = stream.read(2)
    return start == b"PK" or start[:1] == b"\x80"
