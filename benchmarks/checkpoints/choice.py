"""Which network of a file is converted, and as what: a method's own word, else the one complete network in it."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from benchmarks.checkpoints.branches import Branch, best_branch, find_branches, named_branch
from benchmarks.checkpoints.container import Opened
from benchmarks.checkpoints.formats import all_formats
from benchmarks.checkpoints.formats.family import WRAPPERS, Family, Finder, Place, Taken
from benchmarks.checkpoints.recognition import at, branches_of, recognise, recognise_in, refuse, refuse_shards
from benchmarks.errors import InputError

OUTSIDE = "outside the branch"
#: What a program says about its network beside it; a network that is taken out of its file keeps these.
ARGUMENTS = ("args", "arch", "config", "meta", "hyper_parameters")


class Chosen(NamedTuple):
    """A network and its family. ``within``: what the family may read of the file; ``path``: keys that led there."""

    family: Family
    taken: Taken
    within: Opened
    path: tuple[str, ...]
    others: tuple[str, ...]  # labels of the other networks in the file
    apart: bool  # taken out by its prefix; what lies elsewhere in the file says nothing about it


def choose(opened: Opened, branch: str | None, method: str | None = None) -> Chosen:
    """The network to convert; :class:`InputError` when there is none, or several and no word on which.

    A method whose marks lie around the weights knows which copy its programs evaluate, and is asked first. Where the
    network alone tells as much as the whole file, the file is a container like any other (:mod:`.branches`). With
    ``method``, which the source is known to be of, a layout that names no method gets that method's facts.
    """
    refuse_shards(opened)
    found = find_branches(opened.content)
    own = _of_method(opened, branch) if found else None
    if not found:
        refuse(opened)
        family, taken, path = recognise(opened, branch)
        return Chosen(family, taken, opened._replace(content=at(opened.content, path)), path, (), False)
    if own is not None and (branch is not None or _has_marks(opened, found, own)):
        return _as_method(opened, own, method)
    picked, notes = (named_branch(found, branch), []) if branch is not None else best_branch(found)
    if own is not None and _is_of(picked, own):
        own[1].notes.extend(notes)
        own[1].place = own[1].place._replace(branch=picked.label)
        return _as_method(opened, own, method)._replace(others=_labels(found, picked))
    return _apart(opened, picked, found, notes, method)


def _as_method(opened: Opened, own: tuple[Family, Taken], method: str | None) -> Chosen:
    family, taken = own
    others = tuple(label for label in branches_of(opened) if label != taken.place.branch)
    return Chosen(_named(family, method), taken, opened, (), others, False)


def _is_of(branch: Branch, own: tuple[Family, Taken]) -> bool:
    """Whether a branch is the network that a family took: the same tensor, not one of the same values."""
    family, taken = own
    return branch.tensors.get(family.layout.sentinel) is taken.tensors[family.layout.sentinel]


def _labels(found: list[Branch], picked: Branch) -> tuple[str, ...]:
    return tuple(branch.label for branch in found if branch is not picked)


def _named(family: Family, method: str | None) -> Family:
    """The family of a known method, where the tensors have its layout; the recognised one otherwise."""
    named = [f for f in all_formats() if isinstance(f, Family) and f.method == method and f.layout is family.layout]
    return named[0] if named else family


def _of_method(opened: Opened, branch: str | None) -> tuple[Family, Taken] | None:
    """What the families make of the whole file; a complaint may be about a network beside the right one."""
    try:
        refuse(opened)
        return recognise_in(Finder(opened), branch)
    except InputError:
        return None


def _has_marks(opened: Opened, found: list[Branch], own: tuple[Family, Taken]) -> bool:
    """Whether the whole file tells more than the network that would be taken from it does alone."""
    family, taken = own
    alone = next((branch for branch in found if _is_of(branch, own)), None)
    if alone is None or _takes_more(taken, alone, family):
        return True
    if family.known == "unknown":
        return False
    try:
        known = recognise_in(Finder(_isolated(opened, alone)), None)
    except InputError:
        return True
    return known is None or known[0] is not family


def _takes_more(taken: Taken, alone: Branch, family: Family) -> bool:
    """Whether the method's network has tensors beside the prefix, as FLSL's norm on the modes."""
    beside = {name: None for name in taken.tensors if name not in alone.tensors}
    try:
        return len(family.layout.find(beside)[1]) < len(beside)
    except InputError:
        return True


def _isolated(opened: Opened, branch: Branch, arguments: dict[str, Any] | None = None) -> Opened:
    return opened._replace(content={**(arguments or {}), **branch.tensors})


def _apart(opened: Opened, picked: Branch, found: list[Branch], notes: list[str], method: str | None) -> Chosen:
    alone = _isolated(opened, picked)
    refuse(alone)
    family, taken, _ = recognise(alone, None)
    inside = set(picked.names.values())
    holder = at(opened.content, picked.path)
    taken.place = Place(picked.label, picked.path, WRAPPERS.sub("", picked.prefix))
    taken.prefix = picked.prefix
    taken.source_names = {short: picked.names.get(full, full) for short, full in taken.source_names.items()}
    taken.clashes += picked.clashes
    taken.beside = [str(key) for key, value in holder.items() if not isinstance(value, torch.Tensor)]
    taken.outside = {
        key: OUTSIDE
        for key, value in holder.items()
        if isinstance(value, torch.Tensor) and isinstance(key, str) and key not in inside
    }
    taken.notes += notes
    arguments = {
        key: opened.content[key]
        for key in ARGUMENTS
        if key in opened.content and not isinstance(opened.content[key], torch.Tensor)
    }
    within = _isolated(opened, picked, arguments)
    return Chosen(_named(family, method), taken, within, (), _labels(found, picked), True)
