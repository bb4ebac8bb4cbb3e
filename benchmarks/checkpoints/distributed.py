"""Folders of ``torch.distributed.checkpoint``: ``.metadata`` says which part of which tensor lies where.

DINOv3, FSDP 2 and Lightning write them. The metadata is a pickle and is read like any other (:mod:`.inert`); each part
is a small file of ``torch.save`` at its place in a ``.distcp`` file. Nothing of torch.distributed is needed, nor as
many processes as wrote it. A tensor in one part is a view of its file where it lies aligned; the optimiser's are not read at all.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch

from benchmarks.checkpoints.inert import Inert, facts_of, load_inert
from benchmarks.checkpoints.torchfile import map_file, read_zip
from benchmarks.errors import InputError

METADATA = ".metadata"
#: At the start of a key: what is never a network, and twice its size.
NOT_READ = ("optimizer", "optim", "optimizers", "opt_state", "lr_schedulers", "scheduler")


def read_distributed(folder: Path, found: set[str]) -> tuple[dict[str, Any], tuple[Path, ...]]:
    """The nested dict that was saved, without what is no tensor, and the files it was read from.

    Raises :class:`ValueError` and kin where the metadata is broken, :class:`InputError` where a part is missing.
    """
    plan = facts_of(load_inert((folder / METADATA).read_bytes(), found))
    tensors, keys, where = (plan.get(name) for name in ("state_dict_metadata", "planner_data", "storage_data"))
    if not isinstance(tensors, dict) or not isinstance(where, dict):
        raise ValueError("a plan without state_dict_metadata and storage_data")
    parts = _Parts(folder, where)
    content: dict[str, Any] = {}
    for name, told in tensors.items():
        facts = facts_of(told)
        if "chunks" not in facts or not isinstance(name, str):
            continue  # bytes: a number, a list, a pickle of its own
        path = keys.get(name) if isinstance(keys, dict) else None
        path = path if isinstance(path, tuple) and path else (name,)
        *holders, key = [str(part) for part in path]
        holder = content
        for part in holders:
            holder = holder.setdefault(part, {})
            if not isinstance(holder, dict):
                raise ValueError(f"{name} lies inside of a tensor")
        read = parts.tensor if (holders[:1] and holders[0] not in NOT_READ) or not holders else _not_read
        holder[key] = read(name, facts)
    return content, (folder / METADATA, *sorted(parts.files))


def _shape(value: Any) -> tuple[int, ...]:
    if isinstance(value, tuple) and all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in value):
        return value
    raise ValueError(f"a shape {value!r}")


def _type(facts: dict[str, Any]) -> torch.dtype:
    state = getattr(facts.get("properties"), "state", None)
    kind = state[0] if isinstance(state, tuple) and state else facts_of(facts.get("properties")).get("dtype")
    if not isinstance(kind, torch.dtype):
        raise ValueError("a tensor without a type")
    return kind


def _not_read(name: str, facts: dict[str, Any]) -> torch.Tensor:
    return torch.empty(_shape(facts.get("size")), dtype=_type(facts), device="meta")


def _overlap(boxes: list[tuple[tuple[int, ...], tuple[int, ...]]]) -> bool:
    """Whether two of several boxes (offset, extent) have an element in common."""
    starts = torch.tensor([offset for offset, _ in boxes])
    ends = starts + torch.tensor([extent for _, extent in boxes])
    common = ((starts[:, None] < ends) & (starts < ends[:, None])).all(dim=-1)
    return int(common.sum()) > len(boxes)


class _Parts:
    """The parts of all tensors, by name and offset."""

    def __init__(self, folder: Path, where: dict[Any, Any]) -> None:
        self.folder = folder
        self.files: dict[Path, torch.Tensor] = {}
        self.places: dict[tuple[str, tuple[int, ...]], dict[str, Any]] = {}
        for index, place in where.items():
            key = facts_of(index)
            name, offset = key.get("fqn"), key.get("offset")
            if isinstance(name, str) and isinstance(offset, tuple):
                self.places[name, offset] = facts_of(place)

    def tensor(self, name: str, facts: dict[str, Any]) -> torch.Tensor:
        """A tensor, put together where it lies in several parts."""
        size, kind, chunks = _shape(facts.get("size")), _type(facts), facts["chunks"]
        if not isinstance(chunks, list) or not chunks:
            raise ValueError(f"{name} has no parts")
        boxes = [(_shape(facts_of(chunk).get("offsets")), _shape(facts_of(chunk).get("sizes"))) for chunk in chunks]
        if len(boxes) == 1 and boxes[0][1] == size:
            return self._part(name, *boxes[0], kind)
        if sum(math.prod(extent) for _, extent in boxes) != math.prod(size):
            raise ValueError(f"the parts of {name} do not add up to {list(size)}")
        if _overlap(boxes):
            raise ValueError(f"the parts of {name} overlap")
        lengths = [self.places.get((name, offset), {}).get("length") for offset, _ in boxes]
        if sum(n for n in lengths if isinstance(n, int)) < math.prod(size) * kind.itemsize:
            raise ValueError(f"the parts of {name} are shorter than {list(size)}")
        whole = torch.empty(sum(math.prod(extent) for _, extent in boxes), dtype=kind).reshape(size)
        for offset, extent in boxes:
            if len(offset) != len(size) or any(o + e > n for o, e, n in zip(offset, extent, size, strict=True)):
                raise ValueError(f"a part of {name} lies outside of it")
            box = tuple(slice(o, o + e) for o, e in zip(offset, extent, strict=True))
            whole[box] = self._part(name, offset, extent, kind)
        return whole

    def _part(self, name: str, offset: tuple[int, ...], extent: tuple[int, ...], kind: torch.dtype) -> torch.Tensor:
        place = self.places.get((name, offset))
        if place is None:
            raise ValueError(f"nothing says where the part of {name} at {list(offset)} lies")
        file, start, length = (place.get(key) for key in ("relative_path", "offset", "length"))
        if place.get("transform_descriptors"):
            raise ValueError(f"{name} is compressed: save without an extension")
        if not isinstance(file, str) or Path(file).name != file:
            raise InputError(f"{METADATA} points out of its folder ({file}): it is not used")
        path = self.folder / file
        if not path.is_file():
            raise InputError(f"{self.folder} lacks {file}, where {name} lies: copy the whole folder")
        if path not in self.files:
            self.files[path] = map_file(path)
        mapped = self.files[path]
        if not isinstance(start, int) or not isinstance(length, int) or start < 0 or length < 1:
            raise ValueError(f"{name} lies nowhere")
        if start + length > mapped.numel():
            raise InputError(f"{path} is cut short: copy it again")
        tensor = read_zip(path, set(), mapped[start : start + length], start)
        if not isinstance(tensor, torch.Tensor) or isinstance(tensor, Inert):
            raise ValueError(f"{name} is no tensor")
        if tuple(tensor.shape) != extent or tensor.dtype != kind:
            raise ValueError(f"a part of {name} has shape {list(tensor.shape)}, not {list(extent)}")
        return tensor
