"""A table of the paper beside ours: its numbers as data, and what our records say about each of them.

A table is one module with a :class:`Table` in it. Nothing here knows which benchmark it is about;
:mod:`benchmarks.tables.render` writes the lines down.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.core.departures import departures
from benchmarks.core.result import Result

#: Half of the last digit that the paper prints.
ROUNDING = 0.05

Numbers = tuple[float | None, ...]


@dataclass(frozen=True)
class Column:
    """One metric: its heading, where it is in a result's ``metrics``, and the factor that makes it the paper's unit."""

    heading: str
    keys: tuple[str, ...]
    factor: float = 1.0

    def value(self, result: Result) -> float | None:
        """The number in a result, in the paper's unit."""
        found: Any = result.metrics
        for key in self.keys:
            found = found.get(key)
            if found is None:
                return None
        return self.factor * found

    def interval(self, result: Result) -> tuple[float, float] | None:
        """The bootstrap interval in a result, in the paper's unit."""
        found = result.interval.get("values", {}).get("/".join(self.keys))
        return None if found is None else (self.factor * found[0], self.factor * found[1])


@dataclass(frozen=True)
class Row:
    """One line of the paper; None where it prints a dash. ``flag`` says what is odd about it."""

    method: str  # without regard to case
    backbone: str
    values: Numbers
    flag: str = ""
    printed: str = ""  # the paper's own name for it, where that is another
    details: str = ""  # what else the paper prints in this line
    epochs: int | None = None  # of pretraining, where the paper prints them
    data: str = ""  # of pretraining, where the paper prints it
    setting: str = ""  # of an ablation: which results are of this line
    source: str = ""  # where it is printed, where that is not the table's source


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
    compares: Callable[[Result], bool] = lambda result: True  # may this result be held against a row?
    strict: bool = False  # a result that may not is of another protocol or data set and stands in no column here
    tasks: tuple[str, ...] = ()  # those whose results stand in it; empty: of its benchmark, all
    #: Of an ablation: the name of each setting at each scale, and the configuration that makes a run one of them.
    settings: tuple[tuple[str, Mapping[str, Any]], ...] = ()

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
    mine: tuple[Result, ...] = ()

    @property
    def differences(self) -> Numbers:
        """Ours minus the paper's."""
        pairs = zip(self.paper, self.ours, strict=True)
        return tuple(None if paper is None or ours is None else ours - paper for paper, ours in pairs)


def lines(table: Table, results: Sequence[Result]) -> list[Line]:
    """Every row of the paper, with our runs of that method and backbone beside it, then our other runs.

    Only runs of scale ``paper`` are held against the paper. Seeds of one study are averaged; of a seed that was
    run again the newest record counts (``results`` are oldest first).
    """
    groups = _groups(table, results)
    names: dict[tuple[str, ...], set[str]] = {}
    for scale, name, protocol, study, _ in groups:
        names.setdefault((scale, name, protocol), set()).add(study)

    def line(key: tuple[str, ...], row: Row | None) -> Line:
        scale, name, protocol, study, _ = key
        members = groups[key]
        # Two studies of one name differ in options or data alone: the hash tells them apart.
        name += f" #{study[:4]}" if len(names[scale, name, protocol]) > 1 else ""
        columns = [[column.value(result) for result in members] for column in table.columns]
        ours = tuple(_mean(values) for values in columns)
        spread = tuple(_stdev(values) for values in columns if len(values) > 1)
        single = members[0] if len(members) == 1 else None
        intervals = tuple(column.interval(single) for column in table.columns) if single else ()
        files = tuple(f"records/{result.path}" for result in members if result.job)
        paper, verdict, note, backbone = nothing, "not in the paper", _unattributed(table, members[0]), ""
        if scale != "paper":
            verdict, note = "mini: no reproduction", ""
        if row:
            paper, verdict, note, backbone = row.values, _verdict(table, row.values, ours), row.flag, row.backbone
            whose = members[0].whose
            told = "method on your word" if whose.source == "user" else ""
            note = "; ".join(part for part in (note, row.source, told) if part)
            name = name if row.setting else f"{row.printed or row.method} ({name})"
        return Line(
            name, backbone or backbone_name(members[0]), scale, len(members), paper, ours, verdict, note, spread,
            intervals, files, tuple(members),
        )  # fmt: skip

    nothing: Numbers = (None,) * len(table.columns)
    found, used = [], set()
    for row in table.rows:
        mine = [key for key, members in groups.items() if key[0] == "paper" and _is_of(members[0], row, table)]
        used.update(mine)
        found += [line(key, row) for key in mine]
        if not mine:
            label = row.printed or row.method
            note = "; ".join(part for part in (row.flag, row.source) if part)
            found.append(Line(label, row.backbone, "paper", 0, row.values, nothing, "not run", note))
    return found + [line(key, None) for key in groups if key not in used]


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known and len(known) == len(values) else None


def _stdev(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.stdev(known) if len(known) == len(values) else None


def _groups(table: Table, results: Sequence[Result]) -> dict[tuple[str, ...], list[Result]]:
    """(scale, name, protocol, study, checkpoint) -> a result for each seed.

    In an ablation every seed has a checkpoint of its own.
    """
    seeds: dict[tuple[str, ...], dict[int, Result]] = {}
    for result in results:
        if result.benchmark == table.benchmark and _belongs(table, result):
            checkpoint = "" if table.settings else result.checkpoint["sha256"]
            key = (result.scale, setting_of(table, result) or result.name, result.protocol, result.study, checkpoint)
            seeds.setdefault(key, {})[result.seed] = result
    return {key: [members[seed] for seed in sorted(members)] for key, members in seeds.items()}


def _belongs(table: Table, result: Result) -> bool:
    if table.settings:
        return setting_of(table, result) is not None
    if table.strict and (not table.compares(result) or departures(result)):
        return False
    return not table.tasks or not result.task or result.task in table.tasks


def setting_of(table: Table, result: Result) -> str | None:
    """Which of an ablation's settings a result is of, by the configuration that was pretrained with.

    Two tables may share a run. A record of version 1 or 2 has the setting's name instead, perhaps with the table's.
    """
    run = result.run
    if "pretraining" not in run:
        named = run.get("setting")
        known = any(name == named for name, _ in table.settings)
        return named if known and run.get("table", table.number) == table.number else None
    for name, wanted in table.settings:
        if all(_at(run["pretraining"], key) == value for key, value in wanted.items()):
            return name
    return None


def _at(configuration: Mapping[str, Any], key: str) -> Any:
    section, _, name = key.partition(".")
    return configuration.get(section, {}).get(name)


def backbone_name(result: Result) -> str:
    """What the paper would call the network of a result's checkpoint, such as ``ViT-S/16`` or ``RN50``."""
    return architecture_name(result.architecture)


def architecture_name(architecture: Mapping[str, Any]) -> str:
    """The same from a card's ``architecture``."""
    if architecture.get("kind") == "resnet":
        convolutions = 2 if architecture.get("block") == "basic" else 3
        return f"RN{convolutions * sum(architecture['blocks']) + 2}"
    if "depth" not in architecture:
        return f"{architecture.get('name') or architecture['kind']}/{architecture['patch_size']}"
    sizes = {(192, 12): "Ti", (384, 12): "S", (768, 12): "B", (1024, 24): "L", (1280, 32): "H", (1536, 40): "g"}
    width, depth = architecture["embed_dim"], architecture["depth"]
    # DINOv3's S+ and H+: a gated MLP of the width that a plain one has, so half as many parameters more.
    gated = architecture.get("mlp") == "swiglu" and (architecture.get("mlp_hidden") or 4 * width) >= 4 * width
    return f"ViT-{sizes.get((width, depth), f'{width}x{depth}')}{'+' if gated else ''}/{architecture['patch_size']}"


def _is_of(result: Result, row: Row, table: Table) -> bool:
    if departures(result):
        return False
    if row.setting:
        return setting_of(table, result) == row.setting
    same = backbone_name(result) == row.backbone and table.compares(result)
    return same and result.whose.is_of(row.method, row.epochs, row.data)


def _unattributed(table: Table, result: Result) -> str:
    """Why a run of scale ``paper`` stands beside no row."""
    if told := departures(result):
        return f"{', '.join(told)}: other settings than the protocol's"
    if table.settings or any(row.backbone == backbone_name(result) for row in table.rows) is False:
        return ""
    if not table.compares(result):
        return f"{result.protocol}: another protocol than the rows'"
    if not result.whose.method:
        return "your checkpoint: no file says whose weights these are; NAME=PATH,method=...,epochs=... does"
    return f"{result.whose.method}: the paper has no row of this method, backbone, epochs and data"


def _verdict(table: Table, paper: Numbers, ours: Numbers) -> str:
    pairs = [(p, o) for p, o in zip(paper, ours, strict=True) if p is not None]
    apart = [abs(o - p) for p, o in pairs if o is not None]
    if len(apart) < len(pairs):
        return "no score"
    worst = max(apart)
    # Rounded, because 49.0 - 48.95 is a little more than 0.05 in floating point.
    if round(worst, 6) <= ROUNDING:
        return "reproduced"
    return "within noise" if round(worst, 6) <= table.noise else "differs"
