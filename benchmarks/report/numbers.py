"""Metrics of records as flat names and numbers, and the groups within which they can be compared."""

from __future__ import annotations

import functools
import importlib
import math
import pkgutil
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import benchmarks.tables
from benchmarks.tables import overview, paper


def headlines(benchmark: str) -> list[tuple[str, str, float]]:
    """What to show of a benchmark where there is room for little: heading, flat name of the metric, factor to percent.

    The columns of the demo's table, or else of the paper's table the columns that are an AP, or its first.
    """
    own = [(heading, ".".join(keys), factor) for heading, name, keys, factor in overview.COLUMNS if name == benchmark]
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
    """Every ``TABLE`` of a module of :mod:`benchmarks.tables`: a benchmark's entry there is all that a report needs."""
    names = sorted(module.name for module in pkgutil.iter_modules(benchmarks.tables.__path__))
    modules = [importlib.import_module(f"benchmarks.tables.{name}") for name in names]
    found = [module.TABLE for module in modules if isinstance(getattr(module, "TABLE", None), paper.Table)]
    return tuple(sorted(found, key=lambda table: (isinstance(table.number, str), str(table.number))))


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
    """Runs that differ in checkpoint and seed alone: one benchmark, protocol and scale."""

    benchmark: str
    protocol: str
    scale: str
    #: name -> (seed, fingerprint of the data) -> the newest record
    runs: dict[str, dict[tuple[int, str], dict[str, Any]]] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """For people."""
        return f"{self.benchmark}, {self.protocol}"

    def metrics(self) -> list[str]:
        """Flat names of what every kind of run in the group has, in the records' order; no per-object detail."""
        names: dict[str, None] = {}
        for records in self.runs.values():
            for record in records.values():
                names |= dict.fromkeys(name for name, _ in flat(record["metrics"], depth=2))
        return list(names)

    def values(self, name: str, metric: str) -> dict[tuple[int, str], float]:
        """(seed, data) -> the number, where there is one."""
        found = {key: dict(flat(record["metrics"], depth=2)).get(metric) for key, record in self.runs[name].items()}
        return {key: value for key, value in found.items() if value is not None}


def groups(records: Sequence[dict[str, Any]]) -> list[Group]:
    """The groups of ``records`` (oldest first); of a run that was repeated the newest record counts.

    Where one name stands for several checkpoints or studies with the same seed, the first digits of a hash stand
    beside it.
    """
    meant: dict[tuple[str, ...], set[str]] = {}
    for record in records:
        meant.setdefault((*_key(record), record["name"], str(record["seed"])), set()).add(_digest(record))
    ambiguous = {where[:-1] for where, digests in meant.items() if len(digests) > 1}
    found: dict[tuple[str, str, str], Group] = {}
    for record in records:
        key, name = _key(record), record["name"]
        own = (record["seed"], str(record["data"].get("annotations_sha256", ""))[:12])
        label = f"{name} #{_digest(record)}" if (*key, name) in ambiguous else name
        found.setdefault(key, Group(*key)).runs.setdefault(label, {})[own] = record
    return sorted(found.values(), key=lambda group: (group.scale != "paper", group.benchmark, group.protocol))


def _key(record: dict[str, Any]) -> tuple[str, str, str]:
    return record["benchmark"], record["protocol"], record["scale"]


def _digest(record: dict[str, Any]) -> str:
    return (record.get("study") or str(record["checkpoint"].get("sha256", "")))[:4]


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
