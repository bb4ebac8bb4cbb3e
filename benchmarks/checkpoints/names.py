"""Name tables: how a layout calls the tensors of a network, in both directions.

A row pairs a canonical name with its spellings in the layout. A spelling is one name or several whose tensors lie
one below the other in the canonical tensor (query, key and value of a fused ``qkv``). ``{i}`` is a block number,
``{s}`` a stage, ``{p}`` is ``weight`` or ``bias``, ``{q}`` what a batch norm holds. The first spelling is the one that
writers use.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import torch

from benchmarks.errors import InputError

VARIABLES = {
    "i": r"0|[1-9]\d{0,3}",
    "s": r"\d",
    "p": "weight|bias",
    "q": "weight|bias|running_mean|running_var|num_batches_tracked",
}
ZEROS = "(zeros)"  # a part that the layout does not store because it is zero: the key's bias


@dataclass(frozen=True)
class Row:
    """One canonical name and its spellings."""

    canonical: str
    spellings: tuple[tuple[str, ...], ...]


def row(canonical: str, *spellings: str | tuple[str, ...]) -> Row:
    """A row; without spellings the layout uses the canonical name."""
    return Row(canonical, tuple((s,) if isinstance(s, str) else s for s in spellings or (canonical,)))


@dataclass(frozen=True)
class Source:
    """Where a canonical tensor comes from: source names, stacked along the first axis."""

    parts: tuple[str, ...]


@dataclass(frozen=True)
class Layout:
    """A name table. ``sentinel``: a name by which the layout and the prefix before it are recognised, and its axes."""

    name: str
    rows: tuple[Row, ...]
    sentinel: str
    axes: int = 4

    @cached_property
    def _patterns(self) -> list[tuple[re.Pattern[str], Row, int, int]]:
        return [
            (_pattern(part), line, s, p)
            for line in self.rows
            for s, spelling in enumerate(line.spellings)
            for p, part in enumerate(spelling)
            if part != ZEROS
        ]

    def find(self, names: Mapping[str, object]) -> tuple[dict[str, Source], list[str]]:
        """Canonical name -> where it comes from, and the names that the table does not know.

        :class:`InputError` when a fused tensor lacks a part, or two spellings name the same tensor.
        """
        chosen: dict[str, tuple[Row, int, dict[int, str]]] = {}
        unknown = []
        for name in names:
            for pattern, line, s, p in self._patterns:
                if match := pattern.fullmatch(name):
                    canonical = line.canonical.format(**match.groupdict())
                    *spelled, parts = chosen.setdefault(canonical, (line, s, {}))
                    if spelled != [line, s] or p in parts:
                        raise InputError(f"{name} and {next(iter(parts.values()))} both name {canonical}")
                    parts[p] = name
                    break
            else:
                unknown.append(name)
        found = {}
        for canonical, (line, s, parts) in chosen.items():
            spelling = line.spellings[s]
            missing = [p for p in range(len(spelling)) if p not in parts and spelling[p] != ZEROS]
            if missing:
                raise InputError(
                    f"{canonical} has {', '.join(parts.values())} but lacks its part {spelling[missing[0]]}"
                )
            found[canonical] = Source(tuple(parts.get(p, ZEROS) for p in range(len(spelling))))
        return found, unknown

    def spell(self, canonical: str) -> tuple[str, ...] | None:
        """The layout's names for a canonical tensor; None when it has none."""
        for line in self.rows:
            if match := _pattern(line.canonical).fullmatch(canonical):
                return tuple(part if part == ZEROS else part.format(**match.groupdict()) for part in line.spellings[0])
        return None


class Tensors(Mapping[str, torch.Tensor]):
    """Canonical tensors that are put together when they are asked for: a 4 GB file is never held twice.

    ``made``: the few that the layout does not store and that follow from facts.
    """

    def __init__(
        self,
        tensors: Mapping[str, torch.Tensor],
        sources: Mapping[str, Source],
        made: Mapping[str, torch.Tensor] | None = None,
    ) -> None:
        self.made = dict(made or {})
        self._tensors, self._sources = tensors, {n: s for n, s in sources.items() if n not in self.made}

    def __getitem__(self, name: str) -> torch.Tensor:
        if name in self.made:
            return self.made[name]
        parts = self._sources[name].parts
        there = [self._tensors[part] for part in parts if part != ZEROS]
        if len(parts) == 1:
            return there[0]
        if len({(part.shape, part.dtype) for part in there}) != 1:
            shapes = [list(tensor.shape) for tensor in there]
            raise InputError(f"the parts {', '.join(parts)} of {name} differ in shape or type: {shapes}")
        return torch.cat([torch.zeros_like(there[0]) if part == ZEROS else self._tensors[part] for part in parts])

    def __iter__(self) -> Iterator[str]:
        return iter(sorted((*self._sources, *self.made)))

    def __len__(self) -> int:
        return len(self._sources) + len(self.made)

    def parts(self, name: str) -> tuple[str, ...]:
        """The names in the file that a tensor is put together from; none for one that was made."""
        return self._sources[name].parts if name in self._sources else ()

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor, without putting it together."""
        if name in self.made:
            return tuple(self.made[name].shape)
        parts = self._sources[name].parts
        first = next(self._tensors[part] for part in parts if part != ZEROS)
        return (first.shape[0] * len(parts), *first.shape[1:]) if first.ndim else ()


def _pattern(template: str) -> re.Pattern[str]:
    text = re.escape(template)
    for letter, values in VARIABLES.items():
        text = text.replace(rf"\{{{letter}\}}", f"(?P<{letter}>{values})")
    return re.compile(text)
