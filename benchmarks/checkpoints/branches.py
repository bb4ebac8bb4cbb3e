"""The networks in a file: every prefix under which a complete one lies, through nested dicts and dotted names alike.

``{"model": {"teacher.backbone.norm.weight": ...}}`` and ``{"model": {"teacher": {"backbone.norm.weight": ...}}}`` are
the same names here. What a prefix is called decides nothing but which of several copies is taken; what the network
under it is, its tensors tell, and where they do not, the user.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from benchmarks.checkpoints.formats import all_formats
from benchmarks.checkpoints.formats.family import WHOLE_FILE, WRAPPERS, Refusal
from benchmarks.checkpoints.names import Layout
from benchmarks.errors import InputError

#: A block of a transformer, as any layout numbers it; chunks of blocks have two numbers.
BLOCK = re.compile(r"(?:^|.*\.)(?:blocks|layers?|resblocks)\.(?:\d+\.)?(\d+)\.|.*encoder_layer_(\d+)\.")
#: What makes a network of a given depth: blocks, stages and the patch projection.
PART = re.compile(r"(?:.*\.)?(?:blocks|layers?\d?|res\d|stages|encoder_layer_\d+|patch_embed\w*|\d+\.\d+)\.")
#: Words in a prefix, the first that is found decides: copies that no program evaluates; averages over training; key
#: encoders of contrastive methods, whose programs evaluate the query's.
ASIDE_WORDS = {"gram", "initial", "reference"}
AVERAGE_WORDS = {"teacher", "ema", "target", "momentum", "averaged", "average", "swa"}
KEY_WORDS = {"k", "key"}


@dataclass(frozen=True)
class Branch:
    """A network in a file. ``tensors``: by the name that is left without wrappers and prefix."""

    label: str  # what ``--branch`` calls it: keys and prefix joined by dots, without wrappers
    path: tuple[str, ...]  # keys to the dict that holds all of it
    prefix: str  # in the names of that dict, wrappers included
    tensors: dict[str, torch.Tensor]
    names: dict[str, str]  # short name -> name in that dict
    clashes: list[tuple[str, str]]

    @property
    def rank(self) -> int:
        """0: an average over training (EMA, teacher); 1: a network; 2: a key encoder; 3: set aside."""
        words = set(re.split(r"[._\-]", self.label.lower()))
        return 3 if words & ASIDE_WORDS else 0 if words & AVERAGE_WORDS else 2 if words & KEY_WORDS else 1

    @property
    def depth(self) -> int:
        """Number of blocks; 0 for a network without numbered blocks."""
        found = [BLOCK.match(name) for name in self.tensors]
        return 1 + max((int(match[1] or match[2]) for match in found if match), default=-1)

    def same_network(self, other: Branch) -> bool:
        """Whether both are copies of one network: the same blocks and shapes. Heads and mask tokens may differ."""
        alone = self.tensors.keys() ^ other.tensors.keys()
        return not any(PART.match(name) for name in alone) and all(
            self.tensors[name].shape == other.tensors[name].shape for name in self.tensors.keys() & other.tensors.keys()
        )

    def same_values(self, other: Branch) -> bool:
        """Whether one is the other under another name."""
        return (
            self.tensors.keys() == other.tensors.keys()
            and self.same_network(other)
            and all(_same(tensor, other.tensors[name]) for name, tensor in self.tensors.items())
        )


def find_branches(content: Any) -> list[Branch]:
    """Every complete network in nested containers, in the order of the file."""
    flat = list(_flatten(content))
    sentinels: dict[str, list[tuple[Layout, str]]] = {}
    for family in all_formats():
        if not isinstance(family, Refusal) and (family.layout, family.kind) not in sentinels.setdefault(
            family.layout.sentinel, []
        ):
            sentinels[family.layout.sentinel].append((family.layout, family.kind))
    found: dict[str, Branch] = {}
    for entry in flat:
        for sentinel, layouts in sentinels.items():
            if entry.clean != sentinel and not entry.clean.endswith("." + sentinel):
                continue
            prefix = entry.clean[: -len(sentinel)]
            if prefix in found:
                continue
            branch = _branch(flat, entry, prefix, layouts)
            if any(_is_complete(branch, layout, kind) for layout, kind in layouts):
                found[prefix] = branch
    return list(found.values())


def named_branch(branches: list[Branch], name: str) -> Branch:
    """The one that ``--branch`` means: its label or the end of it; :class:`InputError` lists what there is."""
    wanted = name.strip(".")
    bare = WRAPPERS.sub("", wanted + ".").rstrip(".")
    exact = [branch for branch in branches if branch.label in (wanted, bare)]
    fitting = exact or [branch for branch in branches if branch.label.endswith((f".{wanted}", f".{bare}"))]
    if len(fitting) != 1:
        there = ", ".join(branch.label for branch in fitting or branches) or "none that is known"
        what = f"{name!r} fits several branches" if fitting else f"there is no branch {name!r} with weights known here"
        raise InputError(f"{what}; there is: {there}")
    return fitting[0]


def best_branch(branches: list[Branch]) -> tuple[Branch, list[str]]:
    """The branch to take where nobody chose, and what to say about it; :class:`InputError` when several could be.

    A copy under another name counts once. An average over training goes before the network that it is an average of;
    a teacher of another shape is another network, and which of the two is meant cannot be known.
    """
    different: list[Branch] = []
    for branch in sorted(branches, key=lambda b: b.rank):
        if not any(branch.same_values(other) for other in different):
            different.append(branch)
    best = [branch for branch in different if branch.rank == different[0].rank]
    others = [branch for branch in different if branch.rank > different[0].rank]
    if len(best) == 1 and best[0].rank == 0:
        best += [branch for branch in others if branch.rank == 1 and not branch.same_network(best[0])]
    if len(best) > 1:
        kinds = [f"{branch.label} ({branch.depth} blocks)" if branch.depth else branch.label for branch in best]
        raise InputError(
            f"it holds {len(best)} networks, and nothing says which is meant: give one with --branch: "
            f"{', '.join(kinds)}; if they should be copies of one network, the file is cut"
        )
    notes = []
    if others:
        kind = "the average over training (EMA, teacher)" if best[0].rank == 0 else "no key encoder and no copy"
        notes = [f"{best[0].label} is taken, {kind}; --branch takes another: {', '.join(b.label for b in others)}"]
    return best[0], notes


@dataclass(frozen=True)
class _Entry:
    path: tuple[str, ...]
    name: str
    clean: str  # keys and name joined by dots, without wrappers
    tensor: torch.Tensor


def _flatten(content: Any) -> Iterator[_Entry]:
    """Every tensor in nested dicts; a dict that is reached twice counts once."""
    seen: set[int] = set()
    waiting: list[tuple[tuple[str, ...], Any]] = [((), content)]
    while waiting:
        path, holder = waiting.pop(0)
        if id(holder) in seen:
            continue
        seen.add(id(holder))
        for key, value in holder.items():
            if isinstance(value, torch.Tensor) and isinstance(key, str):
                yield _Entry(path, key, ".".join((*path, WRAPPERS.sub("", key))), value)
            elif isinstance(value, dict):
                waiting.append(((*path, str(key)), value))


def _branch(flat: list[_Entry], mark: _Entry, prefix: str, layouts: list[tuple[Layout, str]]) -> Branch:
    """The tensors under a prefix: those of the sentinel's dict, and what a layout knows from dicts around it."""
    under = [entry for entry in flat if entry.clean.startswith(prefix)]
    strangers: set[str] | None = None
    if any(entry.path != mark.path for entry in under):
        shorts = {entry.clean[len(prefix) :]: None for entry in under}
        strangers = set.intersection(*(set(_unknown(layout, shorts)) for layout, _ in layouts))
    kept: dict[str, _Entry] = {}
    clashes = []
    for entry in under:
        short = entry.clean[len(prefix) :]
        if strangers is not None and entry.path != mark.path and short in strangers and not BLOCK.match(short):
            continue
        if short in kept:
            clashes.append((kept[short].name, entry.name))
        kept[short] = entry
    path = mark.path
    for entry in kept.values():
        path = path[: next((i for i, (a, b) in enumerate(zip(path, entry.path, strict=False)) if a != b), len(path))]
        path = path[: len(entry.path)]
    names = {short: ".".join((*entry.path[len(path) :], entry.name)) for short, entry in kept.items()}
    whole = ".".join((*mark.path[len(path) :], mark.name))
    sentinel = mark.clean[len(prefix) :]
    wrapped = whole.removesuffix(sentinel) if whole.endswith(sentinel) else prefix
    tensors = {short: entry.tensor for short, entry in kept.items()}
    return Branch(prefix.rstrip(".") or WHOLE_FILE, path, wrapped, tensors, names, clashes)


def _unknown(layout: Layout, names: dict[str, None]) -> list[str]:
    if not layout.rows:  # a network under its own names: whatever it is, it lies in one dict
        return list(names)
    try:
        return layout.find(names)[1]
    except InputError:  # a broken network is nobody's stranger: what is wrong is said when it is read
        return []


def _is_complete(branch: Branch, layout: Layout, kind: str) -> bool:
    if kind == "resnet":
        try:
            found, _ = layout.find(branch.tensors)
        except InputError:
            return True
        return "conv1.weight" in found and all(f"layer{stage}.0.conv1.weight" in found for stage in range(1, 5))
    return branch.depth > 0


def _same(a: torch.Tensor, b: torch.Tensor) -> bool:
    if a.data_ptr() == b.data_ptr() and a.stride() == b.stride():
        return a.device.type != "meta"
    return a.dtype == b.dtype and torch.equal(a, b)
