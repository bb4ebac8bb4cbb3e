"""The ledger of a conversion: one fate for every source tensor and every target tensor."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import torch

from benchmarks.checkpoints.card import Card, ResNetArchitecture, TimmArchitecture
from benchmarks.checkpoints.choice import OUTSIDE, Chosen
from benchmarks.checkpoints.container import Opened
from benchmarks.checkpoints.names import ZEROS, Tensors
from benchmarks.checkpoints.recognition import walk

COMPUTED = ("rope.periods", "pos_embed")  # what a layout may leave to its method; other gaps are biases of zero


class Aside(NamedTuple):
    """A part of the file that was not taken: its keys, the tensors in it, and what it is."""

    name: str
    tensors: int
    reason: str


@dataclass(frozen=True)
class Ledger:
    """What a conversion did.

    ``loaded``: source name -> canonical name, all of them; ``fused``: canonical name -> its parts; ``folded``: source
    name -> the canonical tensor that it was multiplied into; ``made``: canonical tensors that the file does not
    hold -> from what; ``dropped``: source name -> reason. ``asides``: what lies elsewhere in the file.
    """

    source: str
    method: str
    branch: str
    other_branches: tuple[str, ...]
    prefix: str
    loaded: dict[str, str]
    parameters: int
    card: Card
    fused: dict[str, list[str]] = field(default_factory=dict)
    folded: dict[str, str] = field(default_factory=dict)
    made: dict[str, str] = field(default_factory=dict)
    dropped: dict[str, str] = field(default_factory=dict)
    asides: tuple[Aside, ...] = ()
    foreign_globals: tuple[str, ...] = ()
    target: str = "canonical"
    target_notes: tuple[str, ...] = ()

    @property
    def other_entries(self) -> tuple[str, ...]:
        """Names of the parts of the file that were not taken."""
        return tuple(aside.name for aside in self.asides)

    def fates(self) -> dict[str, dict[str, str]]:
        """One entry for each tensor of the taken dict: ``fate``, and ``target`` or ``reason``."""
        parts = {part for sources in self.fused.values() for part in sources}
        fates = {}
        for name, target in self.loaded.items():
            fate = "fused" if name in parts else "loaded" if name == target else "renamed"
            fates[name] = {"fate": fate, "target": target}
        fates |= {name: {"fate": "folded", "target": target} for name, target in self.folded.items()}
        return fates | {name: {"fate": "dropped", "reason": reason} for name, reason in self.dropped.items()}

    def targets(self) -> dict[str, dict[str, Any]]:
        """One entry for each tensor of the network: the source names that fill it, or what it was made from."""
        sources: dict[str, list[str]] = {}
        for name, target in [*self.loaded.items(), *self.folded.items()]:
            sources.setdefault(target, []).append(name)
        filled = {target: {"fate": "filled", "sources": names} for target, names in sorted(sources.items())}
        return filled | {name: {"fate": "made", "from": what} for name, what in self.made.items()}

    def to_dict(self) -> dict[str, Any]:
        """The ledger as JSON data."""
        data = asdict(self) | {"card": self.card.to_dict()}
        data["asides"] = [aside._asdict() for aside in self.asides]
        data["parameter_coverage"] = 1.0  # a conversion that leaves a tensor of the network unfilled does not end here
        return data | {"source_tensors": self.fates(), "target_tensors": self.targets()}

    def text(self) -> str:
        """The ledger for people: a page of a terminal."""
        proof = self.card.provenance
        rows = [
            ("method", self.method),
            (
                "branch",
                _cut(self.branch + (f"   (also: {', '.join(self.other_branches)})" if self.other_branches else "")),
            ),
            ("prefix", self.prefix or "none"),
            *self._network(),
            (
                "input",
                f"mean {_numbers(self.card.mean)}, std {_numbers(self.card.std)}   (from: {proof.get('mean', '?')})",
            ),
            ("loaded", f"{len(self.loaded)} tensors, {self.parameters:,} values: every tensor of the network, 100 %"),
        ]
        if self.fused:
            rows.append(("fused", f"{sum(map(len, self.fused.values()))} of them into {len(self.fused)}"))
        if self.folded:
            rows.append(
                ("folded", f"{len(self.folded)} tensors into {_cut(', '.join(sorted(set(self.folded.values()))), 50)}")
            )
        rows += [("made", f"{name}: {what}") for name, what in list(self.made.items())[:2]]
        reasons: dict[str, list[str]] = {}
        for name, reason in self.dropped.items():
            reasons.setdefault(reason, []).append(name)
        rows += [("dropped", f"{len(names)} tensors: {why} ({_cut(names[0], 40)})") for why, names in reasons.items()]
        rows.append(("not read", _cut(", ".join(self.other_entries) or "nothing", 400)))
        named = ", ".join(self.foreign_globals)
        rows.append(("globals", _cut(named, 400) + "   (named, not run)" if named else "none foreign"))
        rows.append(("licence", f"{self.card.licence}   (from: {proof.get('licence', '?')})"))
        rows += [("note", note) for note in self.card.notes]
        if self.target != "canonical":
            rows += [("target", self.target), *[("note", note) for note in self.target_notes]]
        source = self.source + (f"@{self.card.source_revision}" if self.card.source_revision else "")
        return "\n".join(f"{name:<9} {one_line(value)}" for name, value in [("source", source), *rows])

    def _network(self) -> list[tuple[str, str]]:
        a, proof = self.card.architecture, self.card.provenance
        if isinstance(a, TimmArchitecture):
            widths = "-".join(map(str, a.widths))
            rows = [("network", f"{a.name} in timm's own class, width {widths}, depth {a.depth}, {_arguments(a)}")]
            if a.num_heads is not None:
                rows.append(("heads", f"{a.num_heads}   (from: {proof.get('num_heads', '?')})"))
            return rows
        eps_from = f"(from: {proof.get('eps', '?')})"
        if isinstance(a, ResNetArchitecture):
            blocks = "-".join(map(str, a.blocks))
            kind = "bottlenecks, stride in the 3x3" if a.block == "bottleneck" else "basic blocks"
            network = f"ResNet-{a.depth}, blocks {blocks}, {a.embed_dim} channels, {kind}"
            return [("network", network), ("norm", f"eps {a.eps:g}   {eps_from}")]
        a = self.card.vit
        resize = self.card.resize
        rule = f"{resize.mode}, offset {resize.offset:g}, antialias {'yes' if resize.antialias else 'no'}"
        rule += ", corners aligned" if resize.align_corners else ""
        return [
            ("network", f"ViT width {a.embed_dim}, depth {a.depth}, patch {a.patch_size}, image {a.image_size}"),
            ("heads", f"{a.num_heads}   (from: {proof.get('num_heads', '?')})"),
            ("tokens", f"class {_yes(a.class_token)}, registers {a.registers}, positions {a.position}"),
            ("blocks", f"{a.mlp} {a.hidden} wide, {a.activation}, LayerScale {_yes(a.layer_scale)}"),
            ("norm", f"final {_yes(a.final_norm)}, eps {a.eps:g}   {eps_from}"),
            (
                "resize",
                "rotary, nothing to resize" if a.position == "rope" else f"{rule}   (from: {proof.get('resize', '?')})",
            ),
        ]


def _arguments(a: TimmArchitecture) -> str:
    return _cut(", ".join(f"{name} {value}" for name, value in a.arguments.items()) or "as registered", 90)


def one_line(text: str, length: int = 600) -> str:
    """Names in foreign files can hold anything; a terminal gets printable characters, and not too many."""
    return _cut("".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text), length)


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _numbers(values: tuple[float, ...]) -> str:
    return " ".join(f"{value:g}" for value in values)


def _cut(text: str, length: int = 100) -> str:
    return text if len(text) <= length else text[: length - 4] + " ..."


def make_ledger(opened: Opened, chosen: Chosen, tensors: Tensors, card: Card) -> Ledger:
    """One fate for each tensor of the file and each of the network."""
    taken = chosen.taken
    full = taken.source_names
    loaded: dict[str, str] = {}
    fused: dict[str, list[str]] = {}
    for name in tensors:
        parts = [full.get(part, part) for part in tensors.parts(name)]
        loaded |= {part: name for part in parts if part != ZEROS}
        if len(parts) > 1:
            fused[name] = parts
    folded = {full[name]: target for name, target in taken.folded.items()}
    dropped = {full[name]: reason for name, reason in taken.dropped.items()} | taken.outside
    return Ledger(
        source=card.source_name,
        method=card.method,
        branch=card.branch,
        other_branches=chosen.others,
        prefix=taken.prefix,
        loaded=loaded,
        parameters=sum(math.prod(tensors.shape(name)) for name in tensors),
        card=card,
        fused=fused,
        folded=folded,
        made={name: "from facts" if name in COMPUTED else "not in the file: zero" for name in tensors.made},
        dropped=dropped,
        asides=_asides(opened, chosen, {*loaded, *folded, *dropped}),
        foreign_globals=opened.foreign_globals,
    )


def _asides(opened: Opened, chosen: Chosen, told: set[str]) -> tuple[Aside, ...]:
    """What lies elsewhere in the file, by the keys that lead there; ``told``: names that have their own fate."""
    taken = chosen.taken
    here = (*chosen.path, *taken.place.path)
    asides: dict[str, int] = {}
    for keys, name, _ in walk(opened.content):
        if keys[: len(here)] != here or ".".join((*keys[len(here) :], name)) not in told:
            top = ".".join((*keys, name)[: _shared(keys, here) + 1])
            asides[top] = asides.get(top, 0) + 1
    parents: Any = opened.content
    for key in here:
        for other in parents:
            if other != key and not isinstance(parents[other], torch.Tensor):
                asides.setdefault(".".join((*here[: here.index(key)], str(other))), 0)
        parents = parents[key]
    taken_tops = {".".join((*here, name.split(".")[0])) for name in told}
    for other in taken.beside:
        if (top := ".".join((*here, other))) not in taken_tops:
            asides.setdefault(top, 0)
    branches = {place.path[0] for place in chosen.family.places if place.path}

    def reason(name: str, tensors: int) -> str:
        if chosen.apart and tensors:
            return OUTSIDE
        return "other branch" if name.split(".")[0] in branches and tensors else "training state"

    return tuple(Aside(name, count, reason(name, count)) for name, count in sorted(asides.items()))


def _shared(keys: tuple[str, ...], here: tuple[str, ...]) -> int:
    same = 0
    for ours, theirs in zip(keys, here, strict=False):
        if ours != theirs:
            break
        same += 1
    return same
