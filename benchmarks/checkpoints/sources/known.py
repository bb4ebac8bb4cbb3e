"""The built-in list of well-known self-supervised checkpoints: data in ``known.json``, each fact from its publisher.

An entry says where the weights are, under which licence, and which network must come out. The last is held against the
file after it was read, so that a swapped file does not pass under a known name. ``null`` is what nobody says.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources

from benchmarks.errors import InputError


@dataclass(frozen=True)
class Known:
    """One checkpoint. ``source`` is what the tools take; with ``by_hand`` a person must fetch it from there."""

    name: str
    method: str
    source: str
    licence: str
    data: str | None  # pretraining data
    parameters: int | None  # of the network, without heads
    kind: str  # vit, resnet or another name of an architecture
    width: int
    depth: int
    patch: int
    heads: int | None
    address: str | None = None  # where hub: leads
    sha256: str | None = None
    by_hand: bool = False
    gated: bool = False

    @property
    def architecture(self) -> str:
        """The network in a few words."""
        if self.kind == "resnet":
            return f"ResNet-{self.depth}, {self.width} channels"
        heads = f", {self.heads} heads" if self.heads else ""
        return f"{'ViT' if self.kind == 'vit' else self.kind} {self.width}x{self.depth}, /{self.patch}{heads}"


@cache
def known_entries() -> tuple[Known, ...]:
    """The list, in its order."""
    text = resources.files("benchmarks.checkpoints.sources").joinpath("known.json").read_text(encoding="utf-8")
    return tuple(Known(**entry) for entry in json.loads(text))


def known_by_source(source: str) -> Known | None:
    """The entry of a source, with or without ``@REVISION``."""
    plain = source.partition("@")[0]
    return next((entry for entry in known_entries() if entry.source in (source, plain) and not entry.by_hand), None)


def table_of_known() -> str:
    """The list for people."""
    rows = [("name", "method", "source", "network", "parameters", "licence")]
    for entry in known_entries():
        size = f"{entry.parameters / 1e6:.0f} M" if entry.parameters else "unknown"
        remark = " (by hand)" if entry.by_hand else " (gated)" if entry.gated else ""
        rows.append((entry.name, entry.method, entry.source + remark, entry.architecture, size, entry.licence))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def compare(known: Known, architecture: object) -> None:
    """:class:`InputError` when a file holds another network than the list says."""
    there = {
        "embed_dim": (known.width, "channels"),
        "depth": (known.depth, "deep"),
        "patch_size": (known.patch, "pixels a patch"),
        "num_heads": (known.heads, "heads"),
    }
    if known.kind != "vit":
        there = {"embed_dim": there["embed_dim"]}
    for fact, (expected, unit) in there.items():
        found = getattr(architecture, fact, None)
        if expected is not None and found is not None and found != expected:
            raise InputError(
                f"{known.source} should be {known.architecture}, but its file has {found} {unit}, not {expected}: "
                "it is another network than the one of that name"
            )
