"""A table of the paper beside ours: its numbers as data, and what our records say about each of them.

A table is one module with a :class:`Table` in it. Nothing here knows which benchmark it is about;
:mod:`benchmarks.tables.render` writes the lines down.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from benchmarks.records import record_path

#: Half of the last digit that the paper prints.
ROUNDING = 0.05

Numbers = tuple[float | None, ...]


@dataclass(frozen=True)
class Column:
    """One metric: its heading, where it is in a record's ``metrics``, and the factor that makes it the paper's unit."""

    heading: str
    keys: tuple[str, ...]
    factor: float = 1.0

    def value(self, record: Mapping[str, Any]) -> float | None:
        """The number in a record, in the paper's unit."""
        found: Any = record["metrics"]
        for key in self.keys:
            found = found.get(key)
            if found is None:
                return None
        return self.factor * found

    def interval(self, record: Mapping[str, Any]) -> tuple[float, float] | None:
        """The bootstrap interval in a record, in the paper's unit."""
        found = record.get("interval", {}).get("values", {}).get("/".join(self.keys))
        return None if found is None else (self.factor * found[0], self.factor * found[1])


@dataclass(frozen=True)
class Row:
    """One line of the paper; None where it prints a dash. ``flag`` says what is odd about it."""

    method: str  # as checkpoint cards name it, without regard to case
    backbone: str
    values: Numbers
    flag: str = ""
    printed: str = ""  # the paper's own name for it, where that is another
    details: str = ""  # what else the paper prints in this line
    setting: str = ""  # of an ablation: which records are of this line, by their ``run``


@dataclass(frozen=True)
class Cost:
    """What one run takes at scale ``paper``, from a published figure; None where nobody has published one."""

    gpu_hours: float | None
    source: str


@dataclass(frozen=True)
class Table:
    """A table of the paper and how close a repetition can be expected to come."""

    number: int | str
    title: str
    benchmark: str  # the records' name for it
    source: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    noise: float  # a difference between two runs that says nothing, in the paper's unit
    noise_reason: str
    flags: tuple[str, ...] = ()  # what the paper contradicts itself in, beyond single rows
    version: int = 1  # of the protocol; raised when a change of ours moves scores, so that records before it are others
    costs: Mapping[str, Cost] = field(default_factory=dict)  # by backbone; "" is for any other
    mini_minutes: float = 1.0  # of a job at scale mini on one core
    reported: str = "paper"  # whose numbers the rows are
    compares: Callable[[Mapping[str, Any]], bool] = lambda record: True  # may this record be held against a row?
    settings: frozenset[str] = frozenset()  # of an ablation: the names of its settings at every scale

    @property
    def stem(self) -> str:
        """What its files are called."""
        return f"table{self.number}" if isinstance(self.number, int) else self.number

    def cost(self, scale: str, backbone: str) -> str:
        """What a job takes, in words."""
        if scale == "mini":
            return f"about {self.mini_minutes:g} min on a core"
        known = self.costs.get(backbone, self.costs.get("", Cost(None, "nobody has published a figure")))
        return f"{known.gpu_hours:,.0f} GPU-hours ({known.source})" if known.gpu_hours else f"GPU-hours: {known.source}"


@dataclass(frozen=True)
class Line:
    """One line of the finished table; ``ours`` has a mean for each column, over ``runs`` seeds."""

    label: str
    backbone: str
    scale: str
    runs: int
    paper: Numbers
    ours: Numbers
    verdict: str
    note: str = ""
    spread: Numbers = ()  # sample standard deviation over seeds; empty where there is one run
    intervals: tuple[tuple[float, float] | None, ...] = ()  # of the only run
    records: tuple[str, ...] = ()  # files, relative to the folder above ``records``

    @property
    def differences(self) -> Numbers:
        """Ours minus the paper's."""
        pairs = zip(self.paper, self.ours, strict=True)
        return tuple(None if None in (paper, ours) else ours - paper for paper, ours in pairs)


def lines(table: Table, records: Sequence[Mapping[str, Any]]) -> list[Line]:
    """Every row of the paper, with our runs of that method and backbone beside it, then our other runs.

    Only runs of scale ``paper`` are held against the paper. Seeds of one study are averaged; of a seed that was
    run again the newest record counts (``records`` are oldest first).
    """
    groups = _groups(table, records)
    names: dict[tuple[str, ...], set[str]] = {}
    for scale, name, protocol, study, _ in groups:
        names.setdefault((scale, name, protocol), set()).add(study)

    def line(key: tuple[str, ...], row: Row | None) -> Line:
        scale, name, protocol, study, _ = key
        members = groups[key]
        # Two studies of one name differ in options or data alone: the hash tells them apart.
        name += f" #{study[:4]}" if len(names[scale, name, protocol]) > 1 else ""
        columns = [[column.value(record) for record in members] for column in table.columns]
        ours = tuple(None if None in values else statistics.fmean(values) for values in columns)
        spread = tuple(None if None in values else statistics.stdev(values) for values in columns if len(values) > 1)
        single = members[0] if len(members) == 1 else {}
        common = {
            "spread": spread,
            "intervals": tuple(column.interval(single) for column in table.columns) if single else (),
            "records": tuple(str(record_path(PurePosixPath("records"), r)) for r in members if r.get("job")),
        }
        if row:
            verdict = _verdict(table, row.values, ours)
            label = name if row.setting else f"{row.printed or row.method} ({name})"
            return Line(label, row.backbone, scale, len(members), row.values, ours, verdict, row.flag, **common)
        verdict = "not in the paper" if scale == "paper" else "mini: no reproduction"
        return Line(name, backbone_name(members[0]), scale, len(members), nothing, ours, verdict, **common)

    nothing = (None,) * len(table.columns)
    found, used = [], set()
    for row in table.rows:
        mine = [key for key, members in groups.items() if key[0] == "paper" and _is_of(members[0], row, table)]
        used.update(mine)
        found += [line(key, row) for key in mine]
        if not mine:
            label = row.printed or row.method
            found.append(Line(label, row.backbone, "paper", 0, row.values, nothing, "not run", row.flag))
    return found + [line(key, None) for key in groups if key not in used]


def _groups(table: Table, records: Sequence[Mapping[str, Any]]) -> dict[tuple[str, ...], list[Mapping[str, Any]]]:
    """(scale, name, protocol, study, checkpoint) -> a record for each seed.

    In an ablation every seed has a checkpoint of its own.
    """
    seeds: dict[tuple[str, ...], dict[int, Mapping[str, Any]]] = {}
    for record in records:
        if record["benchmark"] == table.benchmark and _belongs(table, record):
            checkpoint = "" if record.get("run", {}).get("setting") else record["checkpoint"]["sha256"]
            key = (record["scale"], record["name"], record.get("protocol", ""), record.get("study", ""), checkpoint)
            seeds.setdefault(key, {})[record["seed"]] = record
    return {key: [members[seed] for seed in sorted(members)] for key, members in seeds.items()}


def _belongs(table: Table, record: Mapping[str, Any]) -> bool:
    """Two ablations share a benchmark: a record says which table its setting is of; one of version 1 did not yet."""
    if not table.settings:
        return True
    run = record.get("run", {})
    return run["table"] == table.number if "table" in run else run.get("setting") in table.settings


def backbone_name(record: Mapping[str, Any]) -> str:
    """What the paper would call the network of a record's checkpoint, such as ``ViT-S/16`` or ``RN50``."""
    return architecture_name(record["checkpoint"]["card"]["architecture"])


def architecture_name(architecture: Mapping[str, Any]) -> str:
    """The same from a card's ``architecture``."""
    if architecture.get("kind") == "resnet":
        convolutions = 2 if architecture.get("block") == "basic" else 3
        return f"RN{convolutions * sum(architecture['blocks']) + 2}"
    sizes = {(192, 12): "Ti", (384, 12): "S", (768, 12): "B", (1024, 24): "L"}
    width, depth = architecture["embed_dim"], architecture["depth"]
    return f"ViT-{sizes.get((width, depth), f'{width}x{depth}')}/{architecture['patch_size']}"


def _is_of(record: Mapping[str, Any], row: Row, table: Table) -> bool:
    if row.setting:
        return record["run"].get("setting") == row.setting
    # A bare backbone file does not name its method; its card then says whose layout it has.
    method = record["checkpoint"]["card"]["method"].lower().removesuffix(" layout")
    return method == row.method.lower() and backbone_name(record) == row.backbone and table.compares(record)


def _verdict(table: Table, paper: Numbers, ours: Numbers) -> str:
    pairs = [(p, o) for p, o in zip(paper, ours, strict=True) if p is not None]
    if any(o is None for _, o in pairs):
        return "no score"
    worst = max(abs(o - p) for p, o in pairs)
    # Rounded, because 49.0 - 48.95 is a little more than 0.05 in floating point.
    if round(worst, 6) <= ROUNDING:
        return "reproduced"
    return "within noise" if round(worst, 6) <= table.noise else "differs"
