"""The paper's ablations beside ours: a row is a setting of the pretraining, the number a k-NN accuracy.

A table is one module with an :class:`Ablation` in it. A record belongs to a setting by its ``run["setting"]``.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

#: Half of the last digit that the paper prints.
ROUNDING = 0.05

#: Which k the paper's figures are for is in no source at hand; the published program's help recommends this one.
K = "20"


@dataclass(frozen=True)
class Setting:
    """One cell of the paper: a name, what it replaces in the pretraining's configuration, and the paper's top-1."""

    name: str
    overrides: tuple[str, ...]
    paper: float


@dataclass(frozen=True)
class Ablation:
    """A table of the paper. ``mini`` has the same settings at the size of the small configuration."""

    number: int
    title: str
    source: str
    settings: tuple[Setting, ...]
    mini: tuple[Setting, ...]
    noise: float
    noise_reason: str

    def at(self, scale: str) -> tuple[Setting, ...]:
        """The settings of a scale, ``paper`` or ``mini``."""
        return self.settings if scale == "paper" else self.mini


def text(ablation: Ablation, records: Sequence[dict[str, Any]], scale: str) -> str:
    """The table for a terminal, from the records of ``scale``; of a seed that was run again the newest counts."""
    seeds: dict[str, dict[int, float]] = {}
    for record in records:
        if record["benchmark"] == "knn" and record["scale"] == scale and K in record["metrics"]["top1"]:
            value = record["metrics"]["top1"][K]
            seeds.setdefault(record["run"].get("setting", ""), {})[record["seed"]] = value
    rows = [("setting", "paper", "ours", "difference", "seeds", "verdict")]
    for setting in ablation.at(scale):
        values = list(seeds.get(setting.name, {}).values())
        ours = statistics.fmean(values) if values else None
        cells = ("-", "-") if ours is None else (f"{ours:.2f}", f"{ours - setting.paper:+.2f}")
        rows.append(
            (setting.name, f"{setting.paper:.1f}", *cells, str(len(values)), _verdict(ablation, setting, ours, scale))
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines.insert(1, "-" * max(map(len, lines)))
    lines.insert(0, f"Table {ablation.number}: {ablation.title} (scale {scale}, k = {K})")
    lines.append(f"noise band: {ablation.noise:g} ({ablation.noise_reason})")
    return "\n".join(lines)


def _verdict(ablation: Ablation, setting: Setting, ours: float | None, scale: str) -> str:
    if ours is None:
        return "not run"
    if scale != "paper":
        return "mini: no reproduction"
    difference = round(abs(ours - setting.paper), 6)
    if difference <= ROUNDING:
        return "reproduced"
    return "within noise" if difference <= ablation.noise else "differs"
