"""Foreign checkpoint in, canonical out: open, find the weights, recognise, rename, check everything, write."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib.metadata
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch

from benchmarks.checkpoints import names as layouts
from benchmarks.checkpoints.canonical import is_canonical, read_canonical, write_canonical
from benchmarks.checkpoints.card import Architecture, Card, ResNetArchitecture, TimmArchitecture
from benchmarks.checkpoints.checks import COUNTER, check, compare_depths
from benchmarks.checkpoints.choice import OUTSIDE, choose
from benchmarks.checkpoints.container import Opened, open_foreign, require_source
from benchmarks.checkpoints.facts import (
    depth_of,
    resnet_architecture,
    settle_heads,
    timm_architecture,
    vit_architecture,
    width_of,
)
from benchmarks.checkpoints.formats.family import WRAPPERS, Facts, Family, Finder, Taken
from benchmarks.checkpoints.formats.timm import name_network
from benchmarks.checkpoints.ledger import Ledger, make_ledger, one_line
from benchmarks.checkpoints.names import Tensors
from benchmarks.checkpoints.positions import rope_periods
from benchmarks.checkpoints.recognition import armed
from benchmarks.checkpoints.shapes import tensor_shapes
from benchmarks.checkpoints.sources import Located, Source, locate
from benchmarks.checkpoints.sources.known import Known, compare
from benchmarks.checkpoints.strangers import refuse_content
from benchmarks.checkpoints.targets import WRITERS, write_target
from benchmarks.errors import InputError
from benchmarks.files import require_file, sha256_of

TARGETS = ("canonical", *WRITERS)


class Converted(NamedTuple):
    """A conversion before it is written: canonical tensors (put together when read), card and ledger."""

    tensors: Mapping[str, torch.Tensor]
    card: Card
    ledger: Ledger


def convert(
    source: Source,
    out: str | os.PathLike[str],
    heads: int | None = None,
    branch: str | None = None,
    target: str = "canonical",
    architecture: str | None = None,
) -> Ledger:
    """Convert ``source`` to the canonical checkpoint ``out``, or to the layout of ``target``; return the ledger.

    ``heads`` is needed where the file cannot tell; ``branch`` picks another branch than the method's own choice, or
    names a path of keys; ``architecture`` is timm's name of the network, where a bare file stands for several. Raises
    :class:`InputError` when the file is not understood whole: no tensor is guessed or ignored, and nothing is written.
    For another target (:data:`TARGETS`) the source may be canonical. What is no path is looked up
    (:mod:`benchmarks.checkpoints.sources`).
    """
    if target not in TARGETS:
        raise InputError(f"there is no target {target!r}: {', '.join(TARGETS)} are")
    located = locate(source)
    if target == "canonical" and is_canonical(located.path):
        raise InputError(f"{located.path} is a canonical checkpoint already: use it as it is")
    converted = _from_canonical(located.path, heads, branch) if is_canonical(located.path) else None
    tensors, card, ledger = converted or convert_in_memory(located, heads, branch, architecture)
    if target == "canonical":
        write_canonical(out, tensors, card)
        return ledger
    notes = write_target(target, out, tensors, card)
    return dataclasses.replace(ledger, target=target, target_notes=tuple(notes))


def _from_canonical(source: Path, heads: int | None, branch: str | None) -> Converted:
    """A canonical file as the source of another target."""
    tensors, card = read_canonical(source)
    check_heads(source, card, heads)
    if branch is not None:
        raise InputError(f"{source} is a canonical checkpoint and has no branches: leave --branch out")
    names = {name: name for name in tensors}
    values = sum(tensor.numel() for tensor in tensors.values())
    return Converted(tensors, card, Ledger(Path(source).name, card.method, "canonical", (), "", names, values, card))


def convert_in_memory(
    source: Source, heads: int | None = None, branch: str | None = None, architecture: str | None = None
) -> Converted:
    """What :func:`convert` writes, checked in the same way."""
    located = locate(source)
    source = require_source(located.path)
    try:
        opened = open_foreign(source)
        return _convert(located, name_network(opened, architecture) if architecture else opened, heads, branch)
    except InputError as error:
        line = one_line(str(error))
        raise InputError(line if str(source) in line else f"{source}: {line}") from error
    except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        # Names, shapes and types in a foreign file can be combined in more ways than the checks foresee.
        line = one_line(f"{type(error).__name__}: {error}")
        raise InputError(f"{source}: its content contradicts itself ({line}): it is damaged") from error


def canonical(source: Source, heads: int | None = None, cache_dir: str | os.PathLike[str] | None = None) -> Path:
    """A canonical checkpoint for ``source``: itself, or its conversion, kept in ``cache_dir``.

    It is kept by the source's content, the heads, and the rules of conversion (:func:`rules`), so that a corrected rule
    is never served from before. The default cache is ``runs/converted``. A canonical file's own heads stand: other
    ``heads`` are refused.
    """
    located = locate(source)
    path = require_source(located.path)
    if is_canonical(path):
        check_heads(path, read_canonical(path)[1], heads)
        return path
    folder = Path(cache_dir or "runs/converted")
    content = source_digest(open_foreign(path).files)[:12]
    said = f"-{heads}heads" if heads else ""
    target = folder / f"{located.stem}-{content}{said}-{rules()[:6]}.safetensors"
    if not is_canonical(target):
        convert(located, target, heads)
    return target


@functools.cache
def rules() -> str:
    """The SHA-256 over everything that decides a conversion: the files of this package, and timm's version."""
    digest = hashlib.sha256(importlib.metadata.version("timm").encode())
    here = Path(__file__).parent
    for file in sorted(path for path in here.rglob("*") if path.suffix in (".py", ".json")):
        digest.update(file.relative_to(here).as_posix().encode() + file.read_bytes())
    return digest.hexdigest()


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


def _convert(located: Located, opened: Opened, heads: int | None, branch: str | None) -> Converted:
    refuse_content(opened.content, opened.foreign_globals)
    known = located.known
    chosen = choose(opened, branch, known.method if known else None)
    family, taken, within, path = chosen.family, chosen.taken, chosen.within, chosen.path
    if taken.clashes:
        first, second = taken.clashes[0]
        raise InputError(f"{first} and {second} become the same tensor")
    mark = taken.tensors[family.layout.sentinel]
    if mark.ndim != family.layout.axes or not mark.numel():
        raise InputError(
            f"{taken.prefix}{family.layout.sentinel} ({family.layout.name}) has shape {list(mark.shape)}, "
            f"not {family.layout.axes} axes: the file is damaged"
        )
    family.prepare(within, taken)
    facts = family.facts(within, taken)
    taken.notes += [f"the file names {name}, which runs code when unpickled; it was not run" for name in armed(opened)]
    if known is not None:
        _believe(known, facts, taken, heads)
    names = rename(family, taken)
    architecture, made = _network(family, facts, Tensors(taken.tensors, names, facts.made), heads)
    if isinstance(architecture, Architecture):
        compare_depths(family, taken, Finder(within), architecture.depth)
    tensors = Tensors(taken.tensors, names, made)
    check(tensors, tensor_shapes(architecture), taken, family)
    facts.provenance.setdefault("architecture", "inferred")
    if known is not None:
        compare(known, architecture)
    card = Card(
        method=facts.method,
        architecture=architecture,
        resize=facts.resize,
        mean=facts.mean,
        std=facts.std,
        licence=facts.licence,
        source_name=located.name,
        source_revision=located.revision,
        source_sha256=source_digest(opened.files),
        branch=".".join((*path, taken.place.branch)) if path else taken.place.branch,
        prefix=taken.prefix,
        epochs=_epochs(opened, facts),
        data=known.data or "" if known is not None else "",
        provenance={n: where for n, where in facts.provenance.items() if n not in ("rope_base", "network")},
        notes=tuple(taken.notes),
    )
    return Converted(tensors, card, make_ledger(opened, chosen, tensors, card))


def _epochs(opened: Opened, facts: Facts) -> int | None:
    """The epochs that a training file counts, in DINO's, iBOT's, MAE's and FLSL's programs under ``epoch``.

    MAE's program stores the number of the last epoch, the others that of the next.
    """
    epoch = opened.content.get("epoch") if isinstance(opened.content, dict) else None
    if facts.provenance.get("method") != "file" or type(epoch) is not int or epoch < 1:
        return None
    return epoch + 1 if facts.method == "MAE" else epoch


def _believe(known: Known, facts: Facts, taken: Taken, heads: int | None) -> None:
    """What the built-in list says of a source, where its file does not say it."""
    if facts.heads is None and heads is None:
        facts.learn("table", heads=known.heads)
    if facts.provenance.get("method") != "file":
        facts.learn("table", method=known.method)
    if facts.provenance.get("licence") != "file":
        facts.learn("table", licence=known.licence)
    taken.notes.append(
        f"the source is {known.name} of the built-in list ({known.method}); the file was compared with it"
    )


def rename(family: Family, taken: Taken) -> dict[str, layouts.Source]:
    """Canonical name -> its source names; what the family has no place for is dropped with a reason, or an error."""
    names, unknown = family.layout.find(taken.tensors)
    for name in unknown:
        reason = next((why for pattern, why in family.drops.items() if re.match(pattern, name)), None)
        if reason is None and not WRAPPERS.sub("", taken.source_names[name]).startswith(taken.place.prefix):
            reason = OUTSIDE
        if reason is None:
            raise InputError(
                f"{taken.source_names[name]} is no part of a {family.method} network that is known here: "
                "nothing is dropped without a reason, so nothing is converted"
            )
        taken.drop(name, reason)
    return names


def _network(
    family: Family, facts: Facts, tensors: Tensors, heads: int | None
) -> tuple[Architecture | ResNetArchitecture | TimmArchitecture, dict[str, torch.Tensor]]:
    """The architecture, and the tensors of it that the layout does not store."""
    if family.kind == "resnet":
        if heads is not None:
            raise InputError(f"--heads {heads} was given, but this is a ResNet ({family.method}), which has none")
        resnet = resnet_architecture(tensors, facts)
        counters = [name for name in tensor_shapes(resnet).keys() - tensors.keys() if name.endswith(COUNTER)]
        return resnet, {name: torch.zeros((), dtype=torch.int64) for name in counters}
    if heads is not None and heads < 1:
        raise InputError(f"--heads {heads}: a positive number is needed")
    if family.kind == "timm":
        return timm_architecture(facts, heads), {}
    width = width_of(tensors)
    heads = settle_heads(family, facts, width, depth_of(tensors), heads)
    made = dict(facts.made)
    if facts.rope_base is not None:
        made["rope.periods"] = rope_periods(facts.rope_base, width // heads)
    for name in facts.zero_bias:
        if name not in tensors:
            made[name] = torch.zeros(width, dtype=tensors["patch_embed.proj.weight"].dtype)
    return vit_architecture(tensors, facts), made
