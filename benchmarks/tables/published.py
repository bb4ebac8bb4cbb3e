"""Rows that others published, as tables of one protocol and one data set each: no column holds two of either.

A result of another protocol stands in no such table, and one of an own protocol only beside rows of its method,
architecture, pretraining data and epochs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from benchmarks.core.result import Result
from benchmarks.tables.paper import Column, Cost, Row, Table


def published(
    name: str, title: str, benchmark: str, source: str, columns: tuple[Column, ...], rows: tuple[Row, ...],
    task: str, compares: Callable[[Result], bool], flags: tuple[str, ...] = (), mini_minutes: float = 1.0,
) -> Table:  # fmt: skip
    """A table whose protocol is a task of the suite."""
    return Table(
        number=name,
        title=title,
        benchmark=benchmark,
        source=source,
        columns=columns,
        rows=tuple(replace(row, printed=_printed(row)) for row in rows),
        noise=0.5,
        noise_reason="assumed: nobody has published repeated runs",
        flags=flags,
        costs={"": Cost(None, "none published")},
        mini_minutes=mini_minutes,
        reported="others",
        compares=compares,
        strict=True,
        tasks=(task,) if task else (),
    )


def elsewhere(
    name: str, title: str, benchmark: str, source: str, columns: tuple[Column, ...], rows: tuple[Row, ...],
    flags: tuple[str, ...] = (),
) -> Table:  # fmt: skip
    """A table whose protocol the suite does not have: printed beside nothing."""
    return published(
        name, f"{title} (not in the suite)", benchmark, source, columns, rows, "", lambda result: False, flags
    )


def _printed(row: Row) -> str:
    """Method, pretraining data and epochs: one method stands for several weights in a table."""
    epochs = f"{row.epochs} epochs" if row.epochs else ""
    return ", ".join(part for part in (row.printed or row.method, row.data, epochs) if part)
