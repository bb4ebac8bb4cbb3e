"""Stored values: a JSON file that people read in a diff. Compared with, and replaced by one command.

``tiers`` -> tier -> case -> data -> entry. An entry has ``data`` and ``weights`` (what the values were measured on)
and ``scores``; a score has ``value`` and ``tolerance`` in points, ``since`` (the record, commit and date it is from)
and, in tier ``training``, ``seeds``: the values that the tolerance comes from.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.errors import InputError
from benchmarks.files import read_json, write_json

VERSION = 1

#: Points by which a score without chance in it may differ from machine to machine.
TOLERANCE = 0.02

#: The least tolerance of a short training, where the seeds happen to agree.
TRAINING_TOLERANCE = 0.5

Entry = dict[str, Any]


@dataclass(frozen=True)
class Row:
    """One score, or one case that went wrong; ``status`` is ``ok`` or says what is not."""

    case: str
    score: str
    status: str  # ok | moved | not stored | gone | other data | other weights | failed | not above random
    now: float | None = None
    stored: float | None = None
    tolerance: float | None = None
    since: Mapping[str, Any] | None = None
    note: str = ""

    @property
    def moved_by(self) -> float | None:
        return None if self.now is None or self.stored is None else self.now - self.stored


def read_expected(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The file's content; :class:`InputError` where it is not such a file."""
    content = read_json(path, "file of stored values")
    if not isinstance(content, dict) or content.get("version") != VERSION or not isinstance(content.get("tiers"), dict):
        raise InputError(f"{path} is no file of stored values of version {VERSION}: write one with --update")
    return content


def find(content: Mapping[str, Any], tier: str, case: str, data: str) -> Entry | None:
    """The entry of a case on some data, or None."""
    return content["tiers"].get(tier, {}).get(case, {}).get(data)


def compare(case: str, entry: Entry | None, measured: Entry) -> list[Row]:
    """A row for each score of ``measured`` (an entry without ``since``), and for each that is stored and not there."""
    if entry is None:
        return [Row(case, name, "not stored", now=score["value"]) for name, score in measured["scores"].items()]
    rows = [
        Row(case, what, f"other {what}", since=_first_since(entry), note=_difference(entry[what], measured[what]))
        for what in ("data", "weights")
        if entry[what] != measured[what]
    ]
    for name, score in measured["scores"].items():
        stored = entry["scores"].get(name)
        if stored is None:
            rows.append(Row(case, name, "not stored", now=score["value"]))
            continue
        within = abs(score["value"] - stored["value"]) <= stored["tolerance"]
        rows.append(
            Row(
                case,
                name,
                "ok" if within else "moved",
                score["value"],
                stored["value"],
                stored["tolerance"],
                stored["since"],
            )
        )
    rows += [
        Row(case, name, "gone", stored=stored["value"], since=stored["since"])
        for name, stored in entry["scores"].items()
        if name not in measured["scores"]
    ]
    return rows


def replace(entry: Entry | None, measured: Entry, since: Mapping[str, Any]) -> tuple[Entry, list[str]]:
    """The entry to store, and a line ``old -> new`` for each score.

    A value within its tolerance stays as it was stored: many small steps must not add up to one that nobody saw.
    """
    same = entry is not None and all(entry[what] == measured[what] for what in ("data", "weights"))
    old = entry["scores"] if entry else {}
    scores, lines = {}, []
    for name, score in measured["scores"].items():
        before = old.get(name)
        if same and before and abs(score["value"] - before["value"]) <= before["tolerance"]:
            scores[name] = before
            lines.append(f"{name}: {before['value']:.4f} stays ({score['value'] - before['value']:+.4f})")
            continue
        scores[name] = {**score, "since": dict(since)}
        was = f"{before['value']:.4f}" if before else "none"
        lines.append(f"{name}: {was} -> {score['value']:.4f} (tolerance {score['tolerance']:.2f})")
    lines += [f"{name}: {old[name]['value']:.4f} -> none" for name in old if name not in scores]
    return {"data": measured["data"], "weights": measured["weights"], "scores": scores}, lines


def store(path: Path, entries: Mapping[tuple[str, str, str], Entry]) -> None:
    """Write ``entries`` (by tier, case and data) into the file, atomically, beside what else is there."""
    content: dict[str, Any] = copy.deepcopy(read_expected(path)) if path.exists() else {"version": VERSION, "tiers": {}}
    for (tier, case, data), entry in entries.items():
        content["tiers"].setdefault(tier, {}).setdefault(case, {})[data] = entry
    write_json(path, content)


def _first_since(entry: Entry) -> Mapping[str, Any] | None:
    return next((score["since"] for score in entry["scores"].values()), None)


def _difference(stored: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    changed = [f"{k} {_short(stored.get(k))} -> {_short(now.get(k))}" for k in sorted({*stored, *now})
               if stored.get(k) != now.get(k)]  # fmt: skip
    return ", ".join(changed)


def _short(value: Any) -> str:
    return f"{value:.12}" if isinstance(value, str) else str(value)
