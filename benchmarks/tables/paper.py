"""A table of the paper beside ours: its numbers as data, and what our records say about each of them.

A table is one module with a :class:`Table` in it. Nothing here knows which benchmark it is about.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

#: Half of the last digit that the paper prints.
ROUNDING = 0.05


@dataclass(frozen=True)
class Column:
    """One metric: its heading, where it is in a record's ``metrics``, and the factor that makes it the paper's unit."""

    heading: str
    keys: tuple[str, ...]
    factor: float = 1.0


@dataclass(frozen=True)
class Row:
    """One line of the paper; None where it prints a dash. ``flag`` says what is odd about it."""

    method: str  # as checkpoint cards name it, without regard to case
    backbone: str
    values: tuple[float | None, ...]
    flag: str = ""


@dataclass(frozen=True)
class Table:
    """A table of the paper and how close a repetition can be expected to come."""

    number: int
    title: str
    benchmark: str  # the records' name for it
    source: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    noise: float  # a difference between two runs that says nothing, in the paper's unit
    noise_reason: str


@dataclass(frozen=True)
class Line:
    """One line of the rendered table; ``ours`` has a mean for each column, over ``runs`` seeds."""

    label: str
    backbone: str
    scale: str
    runs: int
    paper: tuple[float | None, ...]
    ours: tuple[float | None, ...]
    verdict: str
    note: str = ""


def lines(table: Table, records: Sequence[dict[str, Any]]) -> list[Line]:
    """Every row of the paper, with our runs of that method and backbone beside it, then our other runs.

    Only runs of scale ``paper`` are held against the paper. Seeds of one checkpoint are averaged; of a seed that was
    run again the newest record counts (``records`` are oldest first).
    """
    seeds: dict[tuple[str, str, str], dict[int, dict[str, Any]]] = {}
    for record in records:
        if record["benchmark"] == table.benchmark:
            key = (record["scale"], record["checkpoint"]["sha256"], record["name"])
            seeds.setdefault(key, {})[record["seed"]] = record
    groups = {key: list(members.values()) for key, members in seeds.items()}
    nothing = (None,) * len(table.columns)
    found, used = [], set()
    for row in table.rows:
        mine = [key for key, members in groups.items() if key[0] == "paper" and _is_of(members[0], row)]
        used.update(mine)
        for key in mine:
            ours, label = _means(table, groups[key]), f"{row.method} ({key[2]})"
            verdict = _verdict(table, row.values, ours)
            found.append(Line(label, row.backbone, "paper", len(groups[key]), row.values, ours, verdict, row.flag))
        if not mine:
            found.append(Line(row.method, row.backbone, "paper", 0, row.values, nothing, "not run", row.flag))
    for key, members in groups.items():
        if key not in used:
            verdict = "not in the paper" if key[0] == "paper" else "mini: no reproduction"
            ours, backbone = _means(table, members), backbone_name(members[0])
            found.append(Line(key[2], backbone, key[0], len(members), nothing, ours, verdict))
    return found


def text(table: Table, records: Sequence[dict[str, Any]]) -> str:
    """The table for a terminal."""
    cells = [["pretraining", "backbone", "seeds"]]
    for column in table.columns:
        cells[0] += [f"{column.heading} paper", "ours", "difference"]
    cells[0].append("verdict")
    body = lines(table, records)
    for line in body:
        row = [line.label, line.backbone, str(line.runs or "-")]
        for paper, ours in zip(line.paper, line.ours, strict=True):
            difference = None if paper is None or ours is None else ours - paper
            row += [_shown(paper, "{:.1f}"), _shown(ours, "{:.2f}"), _shown(difference, "{:+.2f}")]
        cells.append([*row, line.verdict])
    widths = [max(len(row[index]) for row in cells) for index in range(len(cells[0]))]
    out = [f"Table {table.number}: {table.title}"]
    out += ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    out.insert(2, "-" * max(map(len, out)))
    out += [f"{line.label}: {line.note}" for line in body if line.note]
    out.append(f"noise band: {table.noise:g} ({table.noise_reason})")
    return "\n".join(out)


def backbone_name(record: dict[str, Any]) -> str:
    """What the paper would call the network of a record's checkpoint, such as ``ViT-S/16`` or ``RN50``."""
    architecture = record["checkpoint"]["card"]["architecture"]
    if architecture.get("kind") == "resnet":
        convolutions = 2 if architecture.get("block") == "basic" else 3
        return f"RN{convolutions * sum(architecture['blocks']) + 2}"
    sizes = {(192, 12): "Ti", (384, 12): "S", (768, 12): "B", (1024, 24): "L"}
    width, depth = architecture["embed_dim"], architecture["depth"]
    return f"ViT-{sizes.get((width, depth), f'{width}x{depth}')}/{architecture['patch_size']}"


def _is_of(record: dict[str, Any], row: Row) -> bool:
    # A bare backbone file does not name its method; its card then says whose layout it has.
    method = record["checkpoint"]["card"]["method"].lower().removesuffix(" layout")
    return method == row.method.lower() and backbone_name(record) == row.backbone


def _means(table: Table, members: Sequence[dict[str, Any]]) -> tuple[float | None, ...]:
    def value(record: dict[str, Any], column: Column) -> float | None:
        found: Any = record["metrics"]
        for key in column.keys:
            found = found[key]
        return None if found is None else column.factor * found

    columns = [[value(record, column) for record in members] for column in table.columns]
    return tuple(None if None in values else statistics.fmean(values) for values in columns)


def _verdict(table: Table, paper: Sequence[float | None], ours: Sequence[float | None]) -> str:
    pairs = [(p, o) for p, o in zip(paper, ours, strict=True) if p is not None]
    if any(o is None for _, o in pairs):
        return "no score"
    worst = max(abs(o - p) for p, o in pairs)
    # Rounded, because 49.0 - 48.95 is a little more than 0.05 in floating point.
    if round(worst, 6) <= ROUNDING:
        return "reproduced"
    return "within noise" if round(worst, 6) <= table.noise else "differs"


def _shown(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)
