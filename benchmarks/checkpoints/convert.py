"""Foreign checkpoint in, canonical out: open, find the weights, recognise, rename, check everything, write."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch

from benchmarks.checkpoints.canonical import is_canonical, read_canonical, write_canonical
from benchmarks.checkpoints.card import Card
from benchmarks.checkpoints.container import SHARD_ADVICE, SHARD_MARKS, Opened, open_foreign, require_source
from benchmarks.checkpoints.facts import depth_of, resnet_architecture, settle_heads, vit_architecture
from benchmarks.checkpoints.formats import all_formats
from benchmarks.checkpoints.formats.family import WRAPPERS, Family, Refusal, Taken, take
from benchmarks.checkpoints.inert import Inert
from benchmarks.checkpoints.ledger import Aside, Ledger, one_line, one_line
from benchmarks.checkpoints.names import ZEROS, Source, Tensors
from benchmarks.checkpoints.positions import rope_periods
from benchmarks.checkpoints.shapes import tensor_shapes
from benchmarks.checkpoints.targets import WRITERS, write_target
from benchmarks.errors import InputError
from benchmarks.files import require_file, sha256_of

COUNTER = ".num_batches_tracked"
TARGETS = ("canonical", *WRITERS)


class Converted(NamedTuple):
    """A conversion before it is written: canonical tensors (put together when read), card and ledger."""

    tensors: Mapping[str, torch.Tensor]
    card: Card
    ledger: Ledger


def convert(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    heads: int | None = None,
    branch: str | None = None,
    target: str = "canonical",
) -> Ledger:
    """Convert ``source`` to the canonical checkpoint ``out``, or to the layout of ``target``; return the ledger.

    ``heads`` is needed where the file cannot tell; ``branch`` picks another branch than the method's own choice, or
    names a path of keys. Raises :class:`InputError` when the file is not understood whole: no tensor is guessed
    or ignored, and nothing is written. For another target (:data:`TARGETS`) the source may be canonical.
    """
    if target not in TARGETS:
        raise InputError(f"there is no target {target!r}: {', '.join(TARGETS)} are")
    if target == "canonical" and is_canonical(source):
        raise InputError(f"{source} is a canonical checkpoint already: use it as it is")
    converted = _from_canonical(source, heads, branch) if is_canonical(source) else None
    tensors, card, ledger = converted or convert_in_memory(source, heads, branch)
    if target == "canonical":
        write_canonical(out, tensors, card)
        return ledger
    notes = write_target(target, out, tensors, card)
    return dataclasses.replace(ledger, target=target, target_notes=tuple(notes))


def _from_canonical(source: str | os.PathLike[str], heads: int | None, branch: str | None) -> Converted:
    """A canonical file as the source of another target."""
    tensors, card = read_canonical(source)
    check_heads(source, card, heads)
    if branch is not None:
        raise InputError(f"{source} is a canonical checkpoint and has no branches: leave --branch out")
    names = {name: name for name in tensors}
    values = sum(tensor.numel() for tensor in tensors.values())
    return Converted(tensors, card, Ledger(Path(source).name, card.method, "canonical", (), "", names, values, card))


def convert_in_memory(source: str | os.PathLike[str], heads: int | None = None, branch: str | None = None) -> Converted:
    """What :func:`convert` writes, checked in the same way."""
    source = require_source(source)
    try:
        return _convert(source, open_foreign(source), heads, branch)
    except InputError as error:
        line = one_line(str(error))
        raise InputError(line if str(source) in line else f"{source}: {line}") from error


def canonical(
    path: str | os.PathLike[str], heads: int | None = None, cache_dir: str | os.PathLike[str] | None = None
) -> Path:
    """A canonical checkpoint for ``path``: itself, or its conversion, kept in ``cache_dir`` by content and heads.

    The default cache is ``runs/converted``. A canonical file's own heads stand: other ``heads`` are refused.
    """
    path = require_source(path)
    if is_canonical(path):
        check_heads(path, read_canonical(path)[1], heads)
        return path
    folder = Path(cache_dir or "runs/converted")
    content = source_digest(open_foreign(path).files)[:12]
    target = folder / f"{path.stem}-{content}{f'-{heads}heads' if heads else ''}.safetensors"
    if not is_canonical(target):
        convert(path, target, heads)
    return target


def check_heads(path: str | os.PathLike[str], card: Card, heads: int | None) -> None:
    """:class:`InputError` when ``heads`` were given and a canonical file says another number."""
    own = getattr(card.architecture, "num_heads", None)
    if heads not in (None, own):
        raise InputError(f"{path} says {own} heads, but --heads {heads} was given: convert the source file again")


def source_digest(files: tuple[Path, ...]) -> str:
    """The sha256 of a source: of its file, or of its files' digests in order."""
    digests = [sha256_of(require_file(file, "checkpoint")) for file in files]
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def _convert(source: Path, opened: Opened, heads: int | None, branch: str | None) -> Converted:
    if not isinstance(opened.content, dict):
        raise InputError(f"it holds a {type(opened.content).__name__}, not a dict of tensors")
    refuse(opened)
    family, taken, path = recognise(opened, branch)
    within = opened._replace(content=_at(opened.content, path))
    if taken.clashes:
        first, second = taken.clashes[0]
        raise InputError(f"{first} and {second} become the same tensor")
    mark = taken.tensors[family.layout.sentinel]
    if mark.ndim != family.layout.axes or not mark.numel():
        raise InputError(f"{taken.prefix}{family.layout.sentinel} has shape {list(mark.shape)}: the file is damaged")
    family.prepare(within, taken)
    facts = family.facts(within, taken)
    names, unknown = family.layout.find(taken.tensors)
    for name in unknown:
        reason = next((why for pattern, why in family.drops.items() if re.match(pattern, name)), None)
        if reason is None:
            raise InputError(
                f"{taken.source_names[name]} is no part of a {family.method} network that is known here: "
                "nothing is dropped without a reason, so nothing is converted"
            )
        taken.drop(name, reason)
    tensors: Mapping[str, torch.Tensor] = Tensors(taken.tensors, names)
    made: dict[str, torch.Tensor] = {}
    if family.kind == "vit":
        if heads is not None and heads < 1:
            raise InputError(f"--heads {heads}: a positive number is needed")
        width = tensors.shape("patch_embed.proj.weight")[0]
        settle_heads(family, facts, width, depth_of(tensors), heads)
        if facts.rope_base is not None:
            made["rope.periods"] = rope_periods(facts.rope_base, width // facts.heads)
        for name in facts.zero_bias:
            if name not in tensors:
                made[name] = torch.zeros(width, dtype=tensors["patch_embed.proj.weight"].dtype)
        architecture = vit_architecture(tensors, facts)
    elif heads is not None:
        raise InputError(f"--heads {heads} was given, but this is a ResNet ({family.method}), which has none")
    else:
        architecture = resnet_architecture(tensors, facts)
        counters = tensor_shapes(architecture).keys() - names.keys()
        made |= {name: torch.zeros((), dtype=torch.int64) for name in counters if name.endswith(COUNTER)}
    tensors = Joined(tensors, made)
    expected = tensor_shapes(architecture)
    check(tensors, expected, taken, names, family)
    facts.provenance.setdefault("architecture", "inferred")
    card = Card(
        method=facts.method,
        architecture=architecture,
        resize=facts.resize,
        mean=facts.mean,
        std=facts.std,
        licence=facts.licence,
        source_name=source.name,
        source_sha256=source_digest(opened.files),
        branch=".".join((*path, taken.place.branch)) if path else taken.place.branch,
        prefix=taken.prefix,
        provenance={name: where for name, where in facts.provenance.items() if name != "rope_base"},
        notes=tuple(taken.notes),
    )
    return Converted(tensors, card, _ledger(opened, family, taken, names, made, tensors, card, path))


def refuse(opened: Opened) -> None:
    """:class:`InputError` when the file is of a layout that is known and cannot be converted."""
    names = {WRAPPERS.sub("", name) for _, name, _ in walk(opened.content)}
    kind = opened.content.get("type")
    if any(SHARD_MARKS.search(name) for name in names) or kind in ("shard", "shard_list", "slice", "slice_list"):
        raise InputError(f"it is not usable: {SHARD_ADVICE}")
    for refusal in all_formats():
        if isinstance(refusal, Refusal) and refusal.recognises(names, opened.config or {}):
            raise InputError(f"this is {refusal.method}, which is not converted: {refusal.reason}")


def recognise(opened: Opened, branch: str | None) -> tuple[Family, Taken, tuple[str, ...]]:
    """The family, its weights, and the keys that led to the dict in which they were found.

    ``branch`` is the name of a place (with or without the container before it), or keys joined by dots.
    """
    found = _recognise_in(opened, branch)
    if found is not None:
        return *found, ()
    if branch is not None:
        path = tuple(branch.split("."))
        inner = _at(opened.content, path)
        if isinstance(inner, dict) and (found := _recognise_in(opened._replace(content=inner), None)):
            return *found, path
        there = ", ".join(dict.fromkeys(place.branch for place in _places(opened))) or "none that is known"
        raise InputError(f"there is no branch {branch!r} with weights that are known here; there is: {there}")
    raise InputError(
        f"its layout is not known here ({_glimpse(opened.content)}): docs/checkpoints.md lists the layouts that are"
    )


def _recognise_in(opened: Opened, branch: str | None) -> tuple[Family, Taken] | None:
    for family in all_formats():
        if isinstance(family, Refusal):
            continue
        for place in family.places:
            if branch is not None and branch not in (place.branch, ".".join((*place.path, place.branch))):
                continue
            taken = take(opened, place, family.layout)
            if taken is not None and family.recognises(opened, taken):
                return family, taken
    return None


def _places(opened: Opened) -> Iterator[Any]:
    """Every place of any family where this file has weights."""
    for family in all_formats():
        for place in () if isinstance(family, Refusal) else family.places:
            if take(opened, place, family.layout) is not None:
                yield place


def check(
    tensors: Mapping[str, torch.Tensor],
    expected: Mapping[str, tuple[int, ...]],
    taken: Taken,
    names: Mapping[str, Source],
    family: Family,
) -> None:
    """Every tensor of the network is there once with its shape, a floating type and finite values."""
    if missing := sorted(expected.keys() - tensors.keys()):
        raise InputError(f"{missing[0]} is missing ({len(missing)} tensors in all): the file is cut or mixed up")
    if extra := sorted(tensors.keys() - expected.keys()):
        source = taken.source_names.get(names[extra[0]].parts[0], extra[0]) if extra[0] in names else extra[0]
        raise InputError(
            f"{source} does not fit a {family.method} network as the other tensors describe it ({len(extra)} such)"
        )
    for name, shape in expected.items():
        tensor = tensors[name]
        if tuple(tensor.shape) != shape:
            raise InputError(f"{name} has shape {list(tensor.shape)}, but the other tensors ask for {list(shape)}")
        if name.endswith(COUNTER):
            if tensor.dtype != torch.int64:
                raise InputError(f"{name} holds {tensor.dtype}, not a count")
            continue
        if not tensor.is_floating_point() or tensor.dtype.itemsize < 2:
            raise InputError(f"{name} holds {tensor.dtype}, not weights in floating point")
        if not is_finite(tensor):
            raise InputError(f"{name} holds NaN or infinite values: the training had failed, or the file is damaged")
        if name.endswith("running_var") and (tensor < 0).any():
            raise InputError(f"{name} holds negative variances: the file is damaged")


def is_finite(tensor: torch.Tensor) -> bool:
    """Whether every value is finite; one pass without a temporary, where ``torch.isfinite`` takes several."""
    low, high = torch.aminmax(tensor)
    return math.isfinite(low) and math.isfinite(high)


class Joined(Mapping[str, torch.Tensor]):
    """Tensors of the file, and the few that are made from facts."""

    def __init__(self, tensors: Tensors, made: Mapping[str, torch.Tensor]) -> None:
        self._tensors, self._made = tensors, made

    def __getitem__(self, name: str) -> torch.Tensor:
        return self._made[name] if name in self._made else self._tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(sorted((*self._tensors, *(name for name in self._made if name not in self._tensors))))

    def __len__(self) -> int:
        return len(self._tensors.keys() | self._made.keys())


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


def _at(content: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        content = content.get(key) if isinstance(content, dict) else None
    return content


def _ledger(
    opened: Opened,
    family: Family,
    taken: Taken,
    names: Mapping[str, Source],
    made: Mapping[str, torch.Tensor],
    tensors: Mapping[str, torch.Tensor],
    card: Card,
    path: tuple[str, ...],
) -> Ledger:
    """One fate for each tensor of the file and each of the network."""
    full = taken.source_names
    loaded, fused = {}, {}
    for name, source in names.items():
        parts = [full[part] for part in source.parts if part != ZEROS]
        for part in parts:
            loaded[part] = name
        if len(source.parts) > 1:
            fused[name] = [full[part] if part != ZEROS else ZEROS for part in source.parts]
    here = (*path, *taken.place.path)
    others = [place.branch for place in _places(opened) if place.branch != taken.place.branch]
    asides: dict[str, int] = {}
    for keys, _, _ in walk(opened.content):
        if keys != here:
            top = ".".join(keys[: _shared(keys, here) + 1]) or "top of the file"
            asides[top] = asides.get(top, 0) + 1
    parents: Any = opened.content
    for key in here:
        for other in parents:
            if other != key and not isinstance(parents[other], torch.Tensor):
                asides.setdefault(".".join((*here[: here.index(key)], str(other))), 0)
        parents = parents[key]
    for other in taken.beside:
        asides.setdefault(".".join((*here, other)), 0)
    branches = {place.path[0] for place in family.places if place.path}
    return Ledger(
        source=card.source_name,
        method=card.method,
        branch=card.branch,
        other_branches=tuple(dict.fromkeys(others)),
        prefix=taken.prefix,
        loaded=loaded,
        parameters=sum(tensors[name].numel() for name in tensors),
        card=card,
        fused=fused,
        folded={full[name]: target for name, target in taken.folded.items()},
        made={name: "from facts" if name == "rope.periods" else "not in the file: zero" for name in made},
        dropped={full[name]: reason for name, reason in taken.dropped.items()},
        asides=tuple(
            Aside(name, count, "other branch" if name.split(".")[0] in branches and count else "training state")
            for name, count in sorted(asides.items())
        ),
        foreign_globals=opened.foreign_globals,
    )


def _shared(keys: tuple[str, ...], here: tuple[str, ...]) -> int:
    same = 0
    for ours, theirs in zip(keys, here, strict=False):
        if ours != theirs:
            break
        same += 1
    return same


def _glimpse(weights: dict[str, Any]) -> str:
    names = [str(name)[:60] for name in weights]
    return f"{len(names)} entries: {', '.join(names[:3])}{' ...' if len(names) > 3 else ''}"
