"""The outcome for people: one table, then a line for everything that is not as it was."""

from __future__ import annotations

import dataclasses
from typing import Any

from benchmarks.regression.expected import Row
from benchmarks.regression.run import Outcome


def table(rows: list[Row]) -> str:
    """Score by score: stored, now, by how much it moved, and how much it may."""
    cells = [("case", "score", "stored", "now", "moved", "may", "")]
    for number, row in enumerate(rows):
        case = "" if number and rows[number - 1].case == row.case else row.case
        if row.tolerance is None:
            values = (_number(row.stored), _number(row.now), "", "")
        else:
            values = (_number(row.stored), _number(row.now), f"{row.moved_by:+.3f}", f"{row.tolerance:.2f}")
        cells.append((case, row.score, *values, row.status))
    used = [i for i in range(7) if any(line[i] for line in cells[1:])]
    widths = {i: max(len(line[i]) for line in cells) for i in used}
    lines = [
        "  ".join(line[i].rjust(widths[i]) if 2 <= i < 6 else line[i].ljust(widths[i]) for i in used).rstrip()
        for line in cells
    ]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])


def complaint(row: Row) -> str:
    """What is wrong with a row, by how much, and since which record."""
    where = f"{row.case}: {row.score}".removesuffix(": ")
    if row.status == "moved":
        return (
            f"{where} moved by {row.moved_by:+.3f} points, from {row.stored:.3f} to {row.now:.3f} "
            f"(tolerance {row.tolerance:.2f}), since {_since(row)}"
        )
    if row.status == "not above random":
        return f"{where}: the positive control has {row.now:.2f}, random weights {row.stored:.2f}"
    if row.status == "failed":
        return f"{where} failed: {row.note}"
    if row.status == "not stored":
        return f"{where} is {row.now:.3f} and nothing is stored to compare it with: --update stores it"
    if row.status == "gone":
        return f"{where} is no longer measured; it was {row.stored:.3f} in {_since(row)}"
    return f"{row.case}: the {row.score} are not those of {_since(row)} ({row.note}); --update if that is meant"


def as_data(outcome: Outcome, tier: str, data: str) -> dict[str, Any]:
    """The outcome as JSON data."""
    return {
        "tier": tier,
        "data": data,
        "passed": outcome.passed,
        "scores": [{**dataclasses.asdict(row), "moved_by": row.moved_by} for row in outcome.rows],
        "seconds": outcome.seconds,
        "records": outcome.records,
        "stored": outcome.stored,
    }


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _since(row: Row) -> str:
    since = row.since or {}
    commit = (since.get("commit") or "an unknown commit")[:10]
    return f"record {since.get('record')} (commit {commit}, {str(since.get('date'))[:10]})"
