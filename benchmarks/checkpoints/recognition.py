"""Which family a file is of, where its weights sit, and whether it is of a layout that cannot be converted."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import torch

from benchmarks.checkpoints.container import SHARD_ADVICE, SHARD_MARKS, Opened
from benchmarks.checkpoints.formats import all_formats
from benchmarks.checkpoints.formats.family import WRAPPERS, Family, Finder, Place, Refusal, Taken
from benchmarks.checkpoints.formats.openmmlab import CARD_IN_METADATA
from benchmarks.checkpoints.inert import Inert
from benchmarks.checkpoints.timm_networks import is_known, why_unknown
from benchmarks.errors import InputError

#: timm's networks that are torchvision's ResNet under torchvision's names.
PLAIN_RESNETS = re.compile(r"resnet(18|34|50|101|152)|wide_resnet(50|101)_2")


def refuse_shards(opened: Opened) -> None:
    """:class:`InputError` when the file is one process's part of a distributed run."""
    kind = opened.content.get("type")
    sharded = any(SHARD_MARKS.search(name) for _, name, _ in walk(opened.content))
    split = opened.content.get("mp_world_size", 1)  # DeepSpeed's tensor parallelism
    if sharded or kind in ("shard", "shard_list", "slice", "slice_list") or split not in (1, None):
        raise InputError(f"it is not usable: {SHARD_ADVICE}")


def refuse(opened: Opened) -> None:
    """:class:`InputError` when the file is of a layout that is known and cannot be converted."""
    names = {WRAPPERS.sub("", name) for _, name, _ in walk(opened.content)}
    named = (opened.config or {}).get("architecture")
    if isinstance(named, str):
        return refuse_architecture(named.partition(".")[0])
    if CARD_IN_METADATA in opened.metadata:
        return None  # the house's writer says which network it is
    for refusal in all_formats():
        if isinstance(refusal, Refusal) and refusal.recognises(names, opened.config or {}):
            raise InputError(f"this is {refusal.method}, which is not converted: {refusal.reason}")


def refuse_architecture(name: str) -> None:
    """:class:`InputError` for an architecture of timm that is not run here: names that fit are not enough."""
    if not PLAIN_RESNETS.fullmatch(name) and not is_known(name):
        raise InputError(f"the architecture {name!r} is not run here: {why_unknown(name)}")


def recognise(opened: Opened, branch: str | None) -> tuple[Family, Taken, tuple[str, ...]]:
    """The family, its weights, and the keys that led to the dict in which they were found.

    ``branch`` is the name of a place (with or without the container before it), or keys joined by dots.
    """
    found = recognise_in(Finder(opened), branch)
    if found is not None:
        return *found, ()
    if branch is not None:
        path = tuple(branch.split("."))
        inner = at(opened.content, path)
        if isinstance(inner, dict) and (found := recognise_in(Finder(opened._replace(content=inner)), None)):
            return *found, path
        there = ", ".join(branches_of(opened)) or "none that is known"
        raise InputError(f"there is no branch {branch!r} with weights that are known here; there is: {there}")
    raise InputError(
        f"its layout is not known here ({_glimpse(opened.content)}): docs/checkpoints.md lists the layouts that are"
    )


def recognise_in(finder: Finder, branch: str | None) -> tuple[Family, Taken] | None:
    """The family of a file and its weights, or None when no family knows it."""
    for family, place in places(finder):
        if branch is None or branch in place.spellings():
            taken = finder.take(place, family.layout)
            if taken is not None and family.recognises(finder.opened, taken):
                return family, taken
    return None


def places(finder: Finder) -> Iterator[tuple[Family, Place]]:
    """Every place of any family where this file has weights, the most specific family first."""
    for family in all_formats():
        if isinstance(family, Refusal):
            continue
        for place in family.places:
            if finder.has(place, family.layout):
                yield family, place


def branches_of(opened: Opened) -> list[str]:
    """The branches with weights that some family knows."""
    return list(dict.fromkeys(place.branch for _, place in places(Finder(opened))))


def armed(opened: Opened) -> list[str]:
    """Foreign globals that would do something when called."""
    modules = ("os", "posix", "nt", "subprocess", "builtins", "__builtin__", "sys", "shutil", "socket", "runpy", "pty")
    return [name for name in opened.foreign_globals if name.split(".")[0] in modules]


def walk(content: Any) -> Iterator[tuple[tuple[str, ...], str, torch.Tensor]]:
    """Every tensor in nested containers: the keys that lead to it, its name, itself. Each container is seen once."""
    seen: set[int] = set()
    waiting: list[tuple[tuple[str, ...], Any]] = [((), content)]
    while waiting:
        path, holder = waiting.pop()
        if id(holder) in seen:
            continue
        seen.add(id(holder))
        if isinstance(holder, dict):
            items = list(holder.items())
        elif isinstance(holder, (list, tuple)):
            items = list(enumerate(holder))
        elif isinstance(holder, Inert):
            items = list(vars(holder).items())
        else:
            continue
        for key, value in items:
            if isinstance(value, torch.Tensor):
                yield path, str(key), value
            elif isinstance(value, (dict, list, tuple, Inert)):
                waiting.append(((*path, str(key)), value))


def at(content: Any, path: tuple[str, ...]) -> Any:
    """What lies at the end of a path of keys; None when nothing does."""
    for key in path:
        content = content.get(key) if isinstance(content, dict) else None
    return content


def _glimpse(weights: dict[str, Any]) -> str:
    names = [str(name)[:60] for name in weights]
    return f"{len(names)} entries: {', '.join(names[:3])}{' ...' if len(names) > 3 else ''}"
