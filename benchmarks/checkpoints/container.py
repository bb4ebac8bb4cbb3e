"""Opens foreign checkpoints without running them: one file, or a folder of HuggingFace, torch or DeepSpeed."""

from __future__ import annotations

import os
import re
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError, safe_open

from benchmarks.checkpoints.distributed import METADATA, read_distributed
from benchmarks.checkpoints.inert import Inert, facts_of, load_inert
from benchmarks.checkpoints.strangers import refuse_bytes, refuse_zip
from benchmarks.checkpoints.torchfile import is_legacy, read_legacy, read_zip
from benchmarks.errors import InputError
from benchmarks.files import read_json, require_file

__all__ = ["Inert", "Opened", "facts_of", "open_foreign", "require_source"]

#: Names that sharded training gives to the part of one process.
SHARD_NAMES = re.compile(
    r"\.rank_?\d+\b|\.distcp$|_shard\d+\.|^__\d+_\d+\.|zero_pp_rank_|mp_rank_(?!00_model_states\.pt$)\d+"
)
#: What only the part of one process holds: FSDP's flat parameters and sharded tensors.
SHARD_MARKS = re.compile(r"_fsdp_wrapped_module|flat_param|_flat_param|_fpw_module")
SHARD_GLOBALS = ("ShardedTensor", "DTensor", "_sharded_tensor", "distributed.checkpoint")
SHARD_ADVICE = (
    "it is one shard of a distributed run: save a full state dict from the run itself and convert that "
    "(DINOv2 keeps one as eval/*/teacher_checkpoint.pth)"
)
SUFFIXES = (".pth", ".pt", ".bin", ".ckpt", ".tar", ".safetensors", ".pkl")
WEIGHTS_OF_FOLDER = ("model.safetensors", "pytorch_model.bin")
DEEPSPEED = "mp_rank_00_model_states.pt"  # up to ZeRO-2 it holds all weights
DEEPSPEED_STAGE_3 = "zero_pp_rank_0_mp_rank_00_model_states.pt"


class Opened(NamedTuple):
    """A source's content, and the foreign globals it names (never imported, never called)."""

    content: Any
    foreign_globals: tuple[str, ...]
    config: dict[str, Any] | None = None  # config.json of a folder
    preprocessor: dict[str, Any] | None = None  # its preprocessor_config.json
    safetensors: bool = False
    files: tuple[Path, ...] = ()  # every file that was read
    metadata: Mapping[str, str] = types.MappingProxyType({})  # of a safetensors file


def require_source(path: str | os.PathLike[str]) -> Path:
    """``path`` as a checkpoint to open: a file, or a folder that is one; :class:`InputError` otherwise."""
    path = Path(path)
    if not path.is_dir():
        return require_file(path, "checkpoint")
    if (path / METADATA).is_file() or _index_of(path) or any((path / name).is_file() for name in WEIGHTS_OF_FOLDER):
        return path
    if (path / "adapter_config.json").is_file():
        raise InputError(
            f"{path} is a LoRA adapter, a change to weights that are not here: merge it into its base and save that"
        )
    if (path / "latest").is_file():  # DeepSpeed names its newest checkpoint there
        path = path / (path / "latest").read_bytes()[:200].decode("ascii", "replace").strip().replace("/", "")
    if (path / DEEPSPEED_STAGE_3).is_file():
        raise InputError(
            f"{path} is DeepSpeed's ZeRO-3, each process with its part: run the zero_to_fp32.py that lies beside it, "
            "and convert what it writes"
        )
    if (path / DEEPSPEED).is_file():
        return path / DEEPSPEED
    if not path.is_dir():
        raise InputError(f"{path} does not exist, though a file beside it names it: copy the whole folder")
    if any(SHARD_NAMES.search(name.name) for name in path.iterdir()):
        raise InputError(f"{path} is not usable: {SHARD_ADVICE}")
    if (path / "config.json").is_file():
        raise InputError(f"{path} has no {' or '.join(WEIGHTS_OF_FOLDER)}: copy the weights beside config.json")
    inside = sorted(
        p.name for p in path.iterdir() if p.suffix in (".pth", ".pt", ".bin", ".ckpt", ".tar", ".safetensors")
    )
    hint = f": give one of its files ({', '.join(inside[:3])})" if inside else ": give a checkpoint file"
    raise InputError(f"{path} is a folder without config.json or another sign of a checkpoint{hint}")


def open_foreign(path: str | os.PathLike[str]) -> Opened:
    """Open a checkpoint of unknown origin: safetensors, torch's zip and legacy forms, a pickle, a folder.

    Nothing in the file is run (:mod:`benchmarks.checkpoints.inert`); values stay in the file until they are read.
    :class:`InputError` when the source is no checkpoint, is cut short, or is a shard of a distributed run.
    """
    path = require_source(path)
    if path.is_dir():
        return _open_distributed(path) if (path / METADATA).is_file() else _open_folder(path)
    if SHARD_NAMES.search(path.name):
        if (path.parent / METADATA).is_file():
            raise InputError(f"{path} is one part of the checkpoint {path.parent}: give that folder")
        raise InputError(f"{path} is not usable: {SHARD_ADVICE}")
    if path.name == "model.safetensors" and (path.parent / "config.json").is_file():
        return _open_folder(path.parent)
    return _open_file(path)


def _open_file(path: Path) -> Opened:
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty: copy the checkpoint again")
    with open(path, "rb") as stream:
        start = stream.read(1024)
    headed = start[8:9] == b"{" and start[5:8] == bytes(3)  # a length below 2^40, and JSON
    if headed or (path.suffix == ".safetensors" and start[:2] != b"PK"):
        if not headed:
            refuse_bytes(path, start)
        content, metadata = _read_safetensors(path)
        return Opened(content, (), safetensors=True, files=(path,), metadata=metadata)
    if start[:2] != b"PK" and start[:1] != b"\x80":
        refuse_bytes(path, start)
        raise InputError(f"{path} is not a checkpoint (neither a zip archive nor a pickle): check the path")
    found: set[str] = set()
    if start[:2] == b"PK":
        refuse_zip(path)
    try:
        if start[:2] == b"PK":
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


def _open_distributed(folder: Path) -> Opened:
    found: set[str] = set()
    try:
        content, files = read_distributed(folder, found)
    except InputError:
        raise
    except Exception as error:  # as above
        raise InputError(
            f"{folder} cannot be read as a distributed checkpoint ({_reason(error)}): copy it again"
        ) from error
    return Opened(content, tuple(sorted(found)), files=files)


def _index_of(folder: Path) -> Path | None:
    """The weight index of a folder in parts: transformers' names, or the only one that is there."""
    known = [folder / f"{name}.index.json" for name in WEIGHTS_OF_FOLDER]
    there = [index for index in known if index.is_file()] or sorted(folder.glob("*.index.json"))
    return there[0] if there else None


def _open_folder(folder: Path) -> Opened:
    """A folder as ``save_pretrained`` writes it: weights in one file, or in several with an index; config.json."""
    told = folder / "config.json"
    config = read_json(told, "model configuration") if told.is_file() else None
    if config is not None and not isinstance(config, dict):
        raise InputError(f"{folder / 'config.json'} is no model configuration: it holds no object")
    asides = folder / "preprocessor_config.json"
    preprocessor = read_json(asides, "preprocessor configuration") if asides.is_file() else None
    single = next((folder / name for name in WEIGHTS_OF_FOLDER if (folder / name).is_file()), None)
    index = _index_of(folder)
    if single is not None:
        opened = _open_file(single)
    elif index is not None:
        opened = _open_shards(folder, index)
    else:
        raise InputError(f"{folder} has no {' or '.join(WEIGHTS_OF_FOLDER)}: copy the weights beside config.json")
    read = (*opened.files, *(path for path in (told, asides) if path.is_file()))
    known = preprocessor if isinstance(preprocessor, dict) else None
    return opened._replace(config=config, preprocessor=known, files=read)


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
