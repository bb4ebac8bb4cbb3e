"""The paper's ablations: a row is a setting of the pretraining, the number a k-NN accuracy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.tables.paper import Column, Cost, Row, Table

#: Which k the paper's figures are for is in no source at hand; the published program's help recommends this one.
K = "20"


@dataclass(frozen=True)
class Setting:
    """One cell of the paper: a name, what it replaces in the pretraining's configuration, and the paper's top-1.

    ``means`` is all that its table varies, replaced or not: a run with these values is of this cell.
    """

    name: str
    overrides: tuple[str, ...]
    paper: float
    means: Mapping[str, Any]


@dataclass(frozen=True)
class Ablation:
    """A table of the paper with its settings; ``mini`` has the same ones at the size of the small configuration."""

    table: Table
    settings: tuple[Setting, ...]
    mini: tuple[Setting, ...]

    def at(self, scale: str) -> tuple[Setting, ...]:
        """The settings of a scale, ``paper`` or ``mini``."""
        return self.settings if scale == "paper" else self.mini


def ablation(
    number: int, title: str, settings: tuple[Setting, ...], mini: tuple[Setting, ...], flags: tuple[str, ...] = ()
) -> Ablation:
    """An ablation of ViT-S/16 over 100 epochs, as all of the paper's are."""
    table = Table(
        number=number,
        title=f"{title} (k = {K})",
        benchmark="knn",
        source=f"FLSL, NeurIPS 2023, Table {number}, page 9",
        columns=(Column("top-1", ("top1", K)),),
        rows=tuple(Row(setting.name, "ViT-S/16", (setting.paper,), setting=setting.name) for setting in settings),
        noise=0.5,
        noise_reason="assumed: nobody has published repeated runs",
        flags=flags,
        costs={"": Cost(224, "FLSL's README: 300 epochs in 3.5 days on 8 cards; a third of it")},
        mini_minutes=0.8,
        settings=tuple((setting.name, setting.means) for setting in (*settings, *mini)),
    )
    return Ablation(table, settings, mini)
