"""What a family of checkpoints is: where its weights sit, how it calls them, and the facts that no tensor tells.

A family is one class in a file of this folder. Most state data only: containers and prefixes (:class:`Place`), a
name table, reasons for what is left out, and the table facts with their source. The few that do more override
:meth:`Family.prepare` (fold, rename, drop by value) or :meth:`Family.facts` (read facts from the file).
"""

from __future__ import annotations

import re
import types
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch

from benchmarks.checkpoints.card import DINO_RESIZE, IMAGENET_MEAN, IMAGENET_STD, ResizeRule, TimmArchitecture
from benchmarks.checkpoints.container import Opened
from benchmarks.checkpoints.formats.layouts import PLAIN
from benchmarks.checkpoints.inert import facts_of
from benchmarks.checkpoints.names import Layout

WHOLE_FILE = "whole file"
#: What DistributedDataParallel, torch.compile and activation checkpointing put into names, at any depth.
WRAPPERS = re.compile(r"(?<![^.])(?:module|_orig_mod|_checkpoint_wrapped_module)\.")
Triple = tuple[float, float, float]


class Place(NamedTuple):
    """Where weights can sit: the name for ``--branch``, the keys that lead there, and the prefix of the backbone."""

    branch: str
    path: tuple[str, ...] = ()
    prefix: str = ""

    def spellings(self) -> set[str]:
        """What ``--branch`` may call this place: its name, or the prefix, alone or behind the keys that lead there."""
        names = {self.branch} | (
            {self.prefix.rstrip("."), f"module.{self.prefix}".rstrip(".")} if self.prefix else set()
        )
        return names | {".".join((*self.path, name)) for name in names}


#: DINO's containers, and what people make of them.
DINO_PLACES: tuple[Place, ...] = (
    Place("teacher", ("teacher",), "backbone."),
    Place("student", ("student",), "backbone."),
    Place("teacher", ("teacher",)),
    Place("student", ("student",)),
    Place("state_dict", ("state_dict",), "backbone."),
    Place("state_dict", ("state_dict",)),
    Place("model", ("model",), "backbone."),
    Place("model", ("model",)),
    Place(WHOLE_FILE, (), "backbone."),
    Place(WHOLE_FILE),
)


def table(entries: Mapping) -> Mapping:
    """A read-only table for a class attribute."""
    return types.MappingProxyType(dict(entries))


@dataclass
class Taken:
    """The tensors at a place. ``tensors``: by the name that is left without wrappers and prefix."""

    place: Place
    tensors: dict[str, torch.Tensor]
    source_names: dict[str, str]  # short name -> name in the file
    clashes: list[tuple[str, str]]  # two names in the file that are left with the same short name
    beside: list[str]  # entries of the same dict that are no tensors
    prefix: str = ""  # in the file, wrappers included
    dropped: dict[str, str] = field(default_factory=dict)  # short name -> reason
    folded: dict[str, str] = field(default_factory=dict)  # short name -> canonical tensor that it went into
    notes: list[str] = field(default_factory=list)
    outside: dict[str, str] = field(default_factory=dict)  # name in the file -> reason; not under the prefix

    def drop(self, name: str, reason: str) -> None:
        """Leave a tensor out, and say why."""
        del self.tensors[name]
        self.dropped[name] = reason

    def rename(self, name: str, new: str) -> None:
        self.tensors[new] = self.tensors.pop(name)
        self.source_names[new] = self.source_names.pop(name)


@dataclass
class Facts:
    """What is known beside the tensors; ``provenance`` says from where (see card.py)."""

    method: str
    licence: str
    resize: ResizeRule
    eps: float
    heads: int | None = None
    activation: str | None = None  # None: gelu, and silu in a gated MLP
    image_size: int | None = None  # where no position table tells
    odd_class_row: bool = False  # a class token without a row in the table, or the reverse, is no damage
    zero_bias: tuple[str, ...] = ()  # biases that the method's network may be without; zeros do the same
    made: dict[str, torch.Tensor] = field(default_factory=dict)  # what the method computes and the file does not store
    network: TimmArchitecture | None = None  # of a family whose kind is timm
    rope_base: float | None = None  # where the layout has rotary positions and does not store their periods
    mean: Triple = IMAGENET_MEAN
    std: Triple = IMAGENET_STD
    provenance: dict[str, str] = field(default_factory=dict)

    def learn(self, source: str, **facts: Any) -> None:
        """Set facts and where they come from; what is None is not known."""
        for name, value in facts.items():
            if value is not None:
                setattr(self, name, value)
                self.provenance["num_heads" if name == "heads" else name] = source


class Family:
    """Base of all families; a subclass sets the attributes that differ."""

    method = ""
    licence = "unknown"
    rank = 50  # families are asked in this order: what is more specific comes first
    kind = "vit"  # or resnet, or timm: run by timm's own class
    known = "file"  # where the method is known from: "file" needs a mark that only this method leaves, else "unknown"
    layout: Layout = PLAIN
    places: tuple[Place, ...] = DINO_PLACES
    needs: tuple[str, ...] = ()  # keys at the top of the file that only this family has
    drops: Mapping[str, str] = table({})  # pattern at the start of a short name -> why it is left out
    eps = 1e-6
    resize = DINO_RESIZE
    mean: Triple = IMAGENET_MEAN
    std: Triple = IMAGENET_STD
    heads_by_name: Mapping[str, int] = table({"tiny": 3, "small": 6, "base": 12, "large": 16})
    heads_by_width: Mapping[int, int] = table({})  # where the method is certain and published one net of that width

    def recognises(self, opened: Opened, taken: Taken) -> bool:
        """Whether the file is one of this family; ``taken`` has the layout's sentinel under the prefix."""
        return any(key in opened.content for key in self.needs)

    def prepare(self, opened: Opened, taken: Taken) -> None:
        """Change ``taken`` so that the name table fits."""

    def facts(self, opened: Opened, taken: Taken) -> Facts:
        """What is known beside the tensors."""
        facts = Facts(self.method, self.licence, self.resize, self.eps, mean=self.mean, std=self.std)
        source = "table" if self.known == "file" else "layout"
        facts.provenance |= dict.fromkeys(("eps", "resize", "mean", "std", "licence", "activation"), source)
        facts.provenance["method"] = self.known
        if (name := self.saved_architecture(opened)) is not None:
            facts.learn("table", heads=self.heads_of_name(name))
        facts.learn("file", heads=self.saved_heads(opened))
        return facts

    def saved_heads(self, opened: Opened) -> int | None:
        """The number of heads as the trainer's arguments say it."""
        number = saved_arguments(opened).get("num_heads")
        return number if isinstance(number, int) and not isinstance(number, bool) else None

    def saved_architecture(self, opened: Opened) -> str | None:
        """The name of the architecture in the trainer's file, when the method's table has its heads."""
        arch = opened.content.get("arch") if isinstance(opened.content, dict) else None
        names = (saved_arguments(opened).get("arch"), saved_arguments(opened).get("model"), arch)
        return next((name for name in names if isinstance(name, str) and self.heads_of_name(name)), None)

    def heads_of_name(self, name: str) -> int | None:
        """Heads of an architecture such as ``vit_small`` or ``mae_vit_base_patch16``."""
        match = re.search(r"(?:vit|deit)_?([a-z]+\d?)(?:_|$)", name)
        return self.heads_by_name.get(match[1]) if match else None


def saved_arguments(opened: Opened) -> dict[str, Any]:
    """The trainer's arguments that the file keeps under ``args``; empty where it keeps none."""
    return facts_of(opened.content.get("args")) if isinstance(opened.content, dict) else {}


class ResNetFamily(Family):
    """Base of the families whose network is a ResNet, of bottleneck or basic blocks."""

    kind = "resnet"
    eps = 1e-5  # of the batch norms
    drops: Mapping[str, str] = table({r"fc\.": "classifier or projection head"})


class Refusal:
    """A layout that is recognised and not converted, with the reason."""

    method = ""
    reason = ""
    rank = 0

    def recognises(self, names: set[str], config: Mapping[str, Any]) -> bool:
        """By the names of all tensors in the file (wrappers stripped), and config.json."""
        raise NotImplementedError


class Finder:
    """Finds weights at places of one file; each dict of it is looked through once."""

    def __init__(self, opened: Opened) -> None:
        self.opened = opened
        self._names: dict[tuple[str, ...], dict[str, str]] = {}

    def take(self, place: Place, layout: Layout) -> Taken | None:
        """The tensors at a place, or None when the place or the layout's sentinel under its prefix is not there."""
        names = self._names_at(place.path)
        mark = place.prefix + layout.sentinel
        if mark not in names:
            return None
        weights = self._at(place.path)
        beside = [str(key) for key, value in weights.items() if not isinstance(value, torch.Tensor)]
        taken = Taken(place, {}, {}, [], beside)
        for name, tensor in weights.items():
            if not isinstance(tensor, torch.Tensor) or not isinstance(name, str):
                continue
            short = WRAPPERS.sub("", name).removeprefix(place.prefix)
            if short in taken.tensors:
                taken.clashes.append((taken.source_names[short], name))
            taken.tensors[short], taken.source_names[short] = tensor, name
        wrapped = names[mark]
        taken.prefix = wrapped.removesuffix(layout.sentinel) if wrapped.endswith(layout.sentinel) else place.prefix
        return taken

    def has(self, place: Place, layout: Layout) -> bool:
        """Whether :meth:`take` would find something."""
        return place.prefix + layout.sentinel in self._names_at(place.path)

    def _names_at(self, path: tuple[str, ...]) -> dict[str, str]:
        """Names without wrappers -> names, of the tensors in the dict at ``path``."""
        if path not in self._names:
            weights = self._at(path)
            items = weights.items() if isinstance(weights, dict) else ()
            named = [name for name, value in items if isinstance(value, torch.Tensor) and isinstance(name, str)]
            self._names[path] = {WRAPPERS.sub("", name): name for name in named}
        return self._names[path]

    def _at(self, path: tuple[str, ...]) -> Any:
        found: Any = self.opened.content
        for key in path:
            found = found.get(key) if isinstance(found, dict) else None
        return found


def rows_of(taken: Taken) -> int | None:
    """Rows of the position table, or None when there is none."""
    table = taken.tensors.get("pos_embed")
    return table.shape[1] if table is not None and table.ndim == 3 else None


def is_square(number: int | None) -> bool:
    return number is not None and number > 0 and round(number**0.5) ** 2 == number
