"""Foreign checkpoint in, canonical out: open, take one branch, strip one prefix, recognise, check, write."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import torch

from benchmarks.checkpoints.canonical import is_canonical, read_canonical, write_canonical
from benchmarks.checkpoints.card import Card
from benchmarks.checkpoints.container import open_foreign
from benchmarks.checkpoints.formats import FAMILIES
from benchmarks.checkpoints.ledger import Ledger
from benchmarks.errors import InputError
from benchmarks.files import require_file, sha256_of

#: Where weights sit in training files, the best branch first.
BRANCHES = ("teacher", "state_dict", "model", "student")
PREFIX = re.compile(r"^(?:_orig_mod\.|module\.)*(?:backbone\.)?")
SENTINEL = "patch_embed.proj.weight"


def convert(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    heads: int | None = None,
    branch: str | None = None,
) -> Ledger:
    """Convert ``source`` to the canonical checkpoint ``out`` and return the ledger.

    ``heads`` is needed where the file cannot tell; ``branch`` picks another branch than the teacher.
    Raises :class:`InputError` when the file is not understood whole: no tensor is guessed or ignored.
    """
    source = require_file(source, "checkpoint")
    if is_canonical(source):
        raise InputError(f"{source} is a canonical checkpoint already: use it as it is")
    opened = open_foreign(source)
    weights, taken, others = pick_branch(opened.content, branch, str(source))
    tensors, names, prefix = strip_prefix(weights, str(source))
    family = next((f for f in FAMILIES if f.recognises(opened.content, tensors)), None)
    if family is None:
        raise InputError(f"{source} has a layout that is not known here ({_glimpse(weights)}): FLSL and DINO ViTs are")
    found = family.describe(opened.content, tensors, heads)
    card = Card(
        method=found.method,
        architecture=found.architecture,
        resize=found.resize,
        licence=found.licence,
        source_name=source.name,
        source_sha256=sha256_of(source),
        branch=taken,
        prefix=prefix,
        provenance=found.provenance,
        notes=found.notes,
    )
    check_fit(found.tensors, card, str(source))
    write_canonical(out, found.tensors, card)
    beside = tuple(k for k in opened.content if k != taken and k not in others) if taken != "whole file" else ()
    return Ledger(
        source=source.name,
        method=found.method,
        branch=taken,
        other_branches=others,
        prefix=prefix,
        loaded={names[name]: name for name in found.tensors},
        dropped={names[name]: reason for name, reason in found.dropped.items()},
        other_entries=beside,
        foreign_globals=opened.foreign_globals,
        parameters=sum(tensor.numel() for tensor in found.tensors.values()),
        card=card,
    )


def canonical(
    path: str | os.PathLike[str], heads: int | None = None, cache_dir: str | os.PathLike[str] | None = None
) -> Path:
    """A canonical checkpoint for ``path``: itself, or its conversion, kept in ``cache_dir`` by content and heads.

    The default cache is ``runs/converted``. A canonical file's own heads stand: other ``heads`` are refused.
    """
    path = require_file(path, "checkpoint")
    if is_canonical(path):
        own = read_canonical(path)[1].architecture.num_heads
        if heads not in (None, own):
            raise InputError(f"{path} says {own} heads, but --heads {heads} was given: convert the source file again")
        return path
    folder = Path(cache_dir or "runs/converted")
    target = folder / f"{path.stem}-{sha256_of(path)[:12]}{f'-{heads}heads' if heads else ''}.safetensors"
    if not is_canonical(target):
        convert(path, target, heads)
    return target


def pick_branch(content: Any, branch: str | None, where: str) -> tuple[dict[str, Any], str, tuple[str, ...]]:
    """The dict with the weights, its name, and the names of the branches left aside."""
    if not isinstance(content, dict):
        raise InputError(f"{where} holds a {type(content).__name__}, not a dict of tensors")
    there = tuple(name for name in BRANCHES if isinstance(content.get(name), dict))
    if branch is not None:
        if not isinstance(content.get(branch), dict):
            raise InputError(
                f"{where} has no branch {branch!r}: there {'are ' + ', '.join(there) if there else 'is none'}"
            )
        return content[branch], branch, tuple(name for name in there if name != branch)
    if there:
        return content[there[0]], there[0], there[1:]
    return content, "whole file", ()


def strip_prefix(weights: dict[str, Any], where: str) -> tuple[dict[str, torch.Tensor], dict[str, str], str]:
    """Tensors by stripped name, stripped name -> source name, and the prefix of the backbone."""
    strays = [name for name, value in weights.items() if not isinstance(value, torch.Tensor)]
    if strays or not weights:
        raise InputError(f"{where}: no plain dict of tensors ({_glimpse(weights)}): name the branch with --branch")
    names: dict[str, str] = {}
    for name in weights:
        stripped = PREFIX.sub("", name)
        if stripped in names:
            raise InputError(f"{where}: {name} and {names[stripped]} become the same tensor")
        names[stripped] = name
    if SENTINEL not in names:
        raise InputError(f"{where} has a layout that is not known here ({_glimpse(weights)}): FLSL and DINO ViTs are")
    prefix = names[SENTINEL].removesuffix(SENTINEL)
    return {name: weights[source] for name, source in names.items()}, names, prefix


def check_fit(tensors: dict[str, torch.Tensor], card: Card, where: str) -> None:
    """Build the network of the card and load the tensors: every name once on both sides, every shape equal."""
    from benchmarks.backbones.loading import load_exactly
    from benchmarks.backbones.vit import HouseViT

    load_exactly(HouseViT(card.architecture, card.resize), tensors, where)


def _glimpse(weights: dict[str, Any]) -> str:
    names = [str(name) for name in weights]
    return f"{len(names)} entries: {', '.join(names[:3])}{' ...' if len(names) > 3 else ''}"
