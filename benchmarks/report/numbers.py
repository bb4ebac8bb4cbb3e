"""Metrics of records as flat names and numbers, and the groups within which they can be compared."""

from __future__ import annotations

import functools
import importlib
import math
import pkgutil
import statistics
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import benchmarks.tables
from benchmarks.core.result import Result
from benchmarks.tables import overview, paper


def headlines(benchmark: str) -> list[tuple[str, str, float]]:
    """What to show of a benchmark where there is room for little: heading, flat name of the metric, factor to percent.

    The columns of the demo's table, or else of the paper's table the columns that are an AP, or its first.
    """
    own = [(heading, ".".join(keys), factor) for heading, keys, factor in overview.COLUMNS.get(benchmark, ())]
    table = tables().get(benchmark)
    if own or table is None:
        return own
    aps = [column for column in table.columns if column.keys[-1].rpartition("/")[2] == "AP"]
    return [(column.heading, ".".join(column.keys), column.factor) for column in aps or table.columns[:1]]


@functools.cache
def tables() -> dict[str, paper.Table]:
    """Benchmark -> the paper's table of it; of two tables of one benchmark, the first."""
    found: dict[str, paper.Table] = {}
    for table in all_tables():
        found.setdefault(table.benchmark, table)
    return found


@functools.cache
def all_tables() -> tuple[paper.Table, ...]:
    """Every ``TABLE``, and all of ``TABLES``, of the modules of :mod:`benchmarks.tables`: all that a report needs."""
    names = sorted(module.name for module in pkgutil.iter_modules(benchmarks.tables.__path__))
    modules = [importlib.import_module(f"benchmarks.tables.{name}") for name in names]
    found = [table for module in modules for table in (*_own(module, "TABLE"), *_own(module, "TABLES"))]
    return tuple(sorted(found, key=lambda table: (isinstance(table.number, str), str(table.number))))


def _own(module: Any, name: str) -> tuple[paper.Table, ...]:
    there = getattr(module, name, ())
    listed = there if isinstance(there, tuple) else (there,)
    return tuple(table for table in listed if isinstance(table, paper.Table))


def flat(value: Any, name: str = "", depth: int = 9) -> Iterator[tuple[str, float | None]]:
    """Every number of nested metrics with its dotted name; ``depth`` limits how many parts a name has."""
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    elif value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)):
        yield name, value if value is not None and math.isfinite(value) else None
    if depth:
        for key, below in items:
            yield from flat(below, f"{name}.{key}" if name else str(key), depth - 1)


@dataclass
class Group:
    """Runs that differ in checkpoint and seed alone: one benchmark, protocol and scale, on the same data."""

    benchmark: str
    protocol: str
    scale: str
    data: str  # to tell it from a group that differs in nothing else; empty where there is none
    #: name -> seed -> the newest record
    runs: dict[str, dict[int, Result]] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """For people."""
        return ", ".join(filter(None, (evaluation(self.benchmark, self.protocol), self.data)))

    def records(self) -> list[Result]:
        """Those that count."""
        return [record for seeds in self.runs.values() for record in seeds.values()]

    def metrics(self) -> list[str]:
        """Flat names of what every kind of run in the group has, in the records' order; no per-object detail."""
        names: dict[str, None] = {}
        for record in self.records():
            names |= dict.fromkeys(name for name, _ in flat(record.metrics, depth=2))
        return list(names)

    def values(self, name: str, metric: str) -> dict[int, float]:
        """Seed -> the number, where there is one."""
        found = {seed: dict(flat(record.metrics, depth=2)).get(metric) for seed, record in self.runs[name].items()}
        return {seed: value for seed, value in found.items() if value is not None}


def evaluation(benchmark: str, protocol: str) -> str:
    """Benchmark and protocol for people; many a protocol begins with its benchmark's name."""
    return protocol if protocol.startswith(benchmark) else f"{benchmark}, {protocol}"


def groups(records: Sequence[Result]) -> list[Group]:
    """The groups of ``records`` (oldest first); of a run that was repeated the newest record counts.

    Where one name stands for several checkpoints or studies with the same seed, the first digits of a hash stand
    beside it.
    """
    data = _data_sets(records)
    keys = [(*_key(record), own) for record, own in zip(records, data, strict=True)]
    meant: dict[tuple[str, ...], set[str]] = {}
    for key, record in zip(keys, records, strict=True):
        meant.setdefault((*key, record.name, str(record.seed)), set()).add(_digest(record))
    ambiguous = {where[:-1] for where, digests in meant.items() if len(digests) > 1}
    several = Counter(key[:3] for key in set(keys))
    found: dict[tuple[str, ...], Group] = {}
    for key, record in zip(keys, records, strict=True):
        name = record.name
        label = f"{name} #{_digest(record)}" if (*key, name) in ambiguous else name
        where = f"{textwrap.shorten(record.data['name'], 40)} {key[3]}" if several[key[:3]] > 1 else ""
        found.setdefault(key, Group(*key[:3], where)).runs.setdefault(label, {})[record.seed] = record
    return sorted(found.values(), key=lambda group: (group.scale != "paper", group.title))


def _data_sets(records: Sequence[Result]) -> list[str]:
    """On which data each record is: the beginning of its fingerprint.

    The demo draws a world for each seed. Data sets of one name and number of files, each of one seed and no seed with
    two, are such draws and one to compare on. A table's driver names the study of a record: its seeds share their data.
    """
    families = [(*_key(r), r.data["name"], r.data["files"], bool(r.study)) for r in records]
    drawn: dict[tuple[Any, ...], set[tuple[int, str]]] = {}
    for family, record in zip(families, records, strict=True):
        drawn.setdefault(family, set()).add((record.seed, _fingerprint(record)))

    def own(family: tuple[Any, ...], record: Result) -> str:
        pairs = drawn[family]
        seeds, prints = ({pair[side] for pair in pairs} for side in (0, 1))
        one_a_seed = not family[-1] and len(pairs) == len(seeds) == len(prints) > 1
        return "drawn by seed" if one_a_seed else f"#{_fingerprint(record)}"

    return [own(family, record) for family, record in zip(families, records, strict=True)]


def _fingerprint(record: Result) -> str:
    return record.data["annotations_sha256"][:6]


def _key(record: Result) -> tuple[str, str, str]:
    return record.benchmark, record.protocol, record.scale


def _digest(record: Result) -> str:
    return (record.study or str(record.checkpoint.get("sha256", "")))[:4]


def shown(value: float | None, digits: int = 2) -> str:
    """A number for a cell; a dash where there is none."""
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.{digits}f}"


def spread(values: Sequence[float], factor: float = 1.0, digits: int = 2) -> str:
    """The mean, with the sample standard deviation and the number of runs where there are several."""
    if not values:
        return "-"
    scaled = [factor * value for value in values]
    if len(scaled) == 1:
        return shown(scaled[0], digits)
    return f"{statistics.fmean(scaled):,.{digits}f} ± {statistics.stdev(scaled):.{digits}f} (n = {len(scaled)})"
