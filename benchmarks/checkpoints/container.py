"""Opens foreign checkpoints without running them: one file, or a HuggingFace folder."""

from __future__ import annotations

import os
import re
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError, safe_open

from benchmarks.checkpoints.inert import Inert, facts_of, load_inert
from benchmarks.checkpoints.torchfile import is_legacy, read_legacy, read_zip
from benchmarks.errors import InputError
from benchmarks.files import read_json, require_file

__all__ = ["Inert", "Opened", "facts_of", "open_foreign", "require_source"]

#: Names that sharded training gives to the part of one process.
SHARD_NAMES = re.compile(r"\.rank_?\d+\b|\.distcp$|_shard\d+\.|^__\d+_\d+\.|zero_pp_rank_|mp_rank_\d+")
#: What only the part of one process holds: FSDP's flat parameters and sharded tensors.
SHARD_MARKS = re.compile(r"_fsdp_wrapped_module|flat_param|_flat_param|_fpw_module")
SHARD_GLOBALS = ("ShardedTensor", "DTensor", "_sharded_tensor", "distributed.checkpoint")
SHARD_ADVICE = "it is one shard of a distributed run: save a full state dict from the run itself and convert that"
WEIGHTS_OF_FOLDER = ("model.safetensors", "pytorch_model.bin")


class Opened(NamedTuple):
    """A source's content, and the foreign globals it names (never imported, never called)."""

    content: Any
    foreign_globals: tuple[str, ...]
    config: dict[str, Any] | None = None  # config.json of a folder
    preprocessor: dict[str, Any] | None = None  # its preprocessor_config.json
    safetensors: bool = False
    files: tuple[Path, ...] = ()  # the files that hold weights
    metadata: Mapping[str, str] = types.MappingProxyType({})  # of a safetensors file


def require_source(path: str | os.PathLike[str]) -> Path:
    """``path`` as a checkpoint to open: a file, or a folder with ``config.json``; :class:`InputError` otherwise."""
    path = Path(path)
    if not path.is_dir():
        return require_file(path, "checkpoint")
    if any(SHARD_NAMES.search(name.name) for name in path.iterdir()):
        raise InputError(f"{path} is not usable: {SHARD_ADVICE}")
    if not (path / "config.json").is_file():
        raise InputError(f"{path} is a folder without config.json: give a checkpoint file or a HuggingFace folder")
    return path


def open_foreign(path: str | os.PathLike[str]) -> Opened:
    """Open a checkpoint of unknown origin: safetensors, torch's zip and legacy forms, a pickle, a folder.

    Nothing in the file is run (:mod:`benchmarks.checkpoints.inert`); values stay in the file until they are read.
    :class:`InputError` when the source is no checkpoint, is cut short, or is a shard of a distributed run.
    """
    path = require_source(path)
    if path.is_dir():
        return _open_folder(path)
    if SHARD_NAMES.search(path.name):
        raise InputError(f"{path} is not usable: {SHARD_ADVICE}")
    if path.name == "model.safetensors" and (path.parent / "config.json").is_file():
        return _open_folder(path.parent)
    return _open_file(path)


def _open_file(path: Path) -> Opened:
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty: copy the checkpoint again")
    if path.suffix == ".safetensors":
        content, metadata = _read_safetensors(path)
        return Opened(content, (), safetensors=True, files=(path,), metadata=metadata)
    with open(path, "rb") as stream:
        start = stream.read(2)
    if start != b"PK" and start[:1] != b"\x80":
        raise InputError(f"{path} is not a checkpoint (neither a zip archive nor a pickle): check the path")
    found: set[str] = set()
    try:
        if start == b"PK":
            content = read_zip(path, found)
        elif is_legacy(path):
            content = read_legacy(path, found)
        else:
            content = load_inert(path.read_bytes(), found)
    except Exception as error:  # a broken pickle can raise anything
        raise InputError(
            f"{path} cannot be read as a checkpoint ({_reason(error)}): it may be cut short, copy it again"
        ) from error
    if any(mark in name for name in found for mark in SHARD_GLOBALS):
        raise InputError(f"{path} is not usable: {SHARD_ADVICE}")
    return Opened(content, tuple(sorted(found)), files=(path,))


def _open_folder(folder: Path) -> Opened:
    """A folder as ``save_pretrained`` writes it: config.json and weights in one file, or in several with an index."""
    config = read_json(folder / "config.json", "model configuration")
    if not isinstance(config, dict):
        raise InputError(f"{folder / 'config.json'} is no model configuration: it holds no object")
    asides = folder / "preprocessor_config.json"
    preprocessor = read_json(asides, "preprocessor configuration") if asides.is_file() else None
    for name in WEIGHTS_OF_FOLDER:
        index = folder / f"{name}.index.json"
        if index.is_file():
            opened = _open_shards(folder, index)
        elif (folder / name).is_file():
            opened = _open_file(folder / name)
        else:
            continue
        return opened._replace(config=config, preprocessor=preprocessor if isinstance(preprocessor, dict) else None)
    raise InputError(f"{folder} has no {' or '.join(WEIGHTS_OF_FOLDER)}: copy the weights beside config.json")


def _open_shards(folder: Path, index: Path) -> Opened:
    listing = read_json(index, "weight index")
    where = listing.get("weight_map") if isinstance(listing, dict) else None
    if not isinstance(where, dict) or not all(isinstance(file, str) for file in where.values()):
        raise InputError(f"{index} is no weight index: it has no weight_map")
    content: dict[str, Any] = {}
    found: set[str] = set()
    files = sorted(set(where.values()))
    for file in files:
        if Path(file).name != file:
            raise InputError(f"{index} points out of its folder ({file}): it is not used")
        part = _open_file(require_file(folder / file, "part of the checkpoint"))
        if not isinstance(part.content, dict):
            raise InputError(f"{folder / file} holds no tensors by name: copy the folder again")
        for name, value in part.content.items():
            if where.get(name) != file:
                raise InputError(f"{folder / file} holds {name}, which {index.name} does not expect there")
            content[name] = value
        found.update(part.foreign_globals)
    if missing := sorted(where.keys() - content.keys()):
        raise InputError(f"{folder} lacks {missing[0]} ({len(missing)} of its index in all): copy the folder again")
    return Opened(
        content,
        tuple(sorted(found)),
        safetensors=files[0].endswith(".safetensors"),
        files=tuple(folder / file for file in files),
    )


def _read_safetensors(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as stream:
            tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118 (not a dict)
            return tensors, stream.metadata() or {}
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise InputError(f"{path} is not a safetensors file ({_reason(error)}): copy it again") from error


def _reason(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}{': ' + text[0][:200] if text else ''}"
