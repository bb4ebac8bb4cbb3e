"""One card a run: what was measured, on what, with which code, on which machine."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.core.result import Result
from benchmarks.report.markup import Markup, facts, join, tag
from benchmarks.report.numbers import evaluation, flat, headlines, shown
from benchmarks.report.tables import verdict

#: Tensors of a ledger that are listed one by one; of the others the number stands.
LISTED = 12


def section(records: Sequence[Result], ledgers: Mapping[str, dict[str, Any]]) -> Markup:
    """Cards of all ``records``, the newest first; ``ledgers`` by the sha256 of a checkpoint's source."""
    return join(_card(record, ledgers) for record in reversed(records))


def _card(record: Result, ledgers: Mapping[str, dict[str, Any]]) -> Markup:
    card = record.checkpoint.get("card", {})
    metrics = dict(flat(record.metrics))
    heads = [
        f"{heading} {shown(factor * value)}"
        for heading, name, factor in headlines(record.benchmark)
        if (value := metrics.get(name)) is not None
    ]
    summary = tag(
        "summary",
        tag("b", record.name),
        f" {evaluation(record.benchmark, record.protocol)}, seed {record.seed} ",
        tag("span", ", ".join(heads), class_="headline"),
        verdict("mini: no reproduction") if record.scale == "mini" else None,
        tag("time", record.started[:16].replace("T", " "), datetime=record.started),
    )
    parts = [
        _part("Metrics", _metrics(metrics, record.interval)),
        _part("Checkpoint", _checkpoint(card, record.checkpoint.get("sha256", ""))),
        _part("Config and options", _nested(record.run)),
        _part("Environment", _environment(record), "wide"),
    ]
    ledger = ledgers.get(card.get("source_sha256") or "-")
    if ledger:
        parts.insert(2, _part("Ledger of its conversion", _ledger(ledger)))
    return tag("details", summary, tag("div", *parts, class_="parts"), class_="card")


def _part(title: str, content: Markup, kind: str | None = None) -> Markup:
    return tag("section", tag("h4", title), content, class_=kind)


def _metrics(metrics: Mapping[str, float | None], interval: Mapping[str, Any]) -> Markup:
    bounds = interval.get("values", {}) if isinstance(interval.get("values", {}), dict) else {}
    rows = []
    for name, value in metrics.items():
        own = bounds.get(name.replace(".", "/"))
        between = f" [{own[0]:.2f}, {own[1]:.2f}]" if isinstance(own, (list, tuple)) and len(own) == 2 else ""
        rows.append(tag("tr", tag("th", name, scope="row"), tag("td", shown(value, 3) + between, class_="number")))
    note = None
    if bounds:
        facts_ = [str(interval.get(key)) for key in ("level", "resamples", "over")]
        note = tag("p", "Intervals: level {}, {} resamples over {}.".format(*facts_), class_="note")
    return join([tag("div", tag("table", tag("tbody", *rows)), class_="scroll tall"), note])


def _checkpoint(card: Mapping[str, Any], sha256: str) -> Markup:
    sources = dict(card.get("provenance") or {})
    architecture = dict(card.get("architecture") or {})
    inferred = sources.get("architecture")
    pairs: list[tuple[str, Any]] = [("method", card.get("method")), ("licence", card.get("licence"))]
    pairs += [(name, value) for name, value in architecture.items()]
    pairs += [("mean", card.get("mean")), ("std", card.get("std"))]
    pairs += [(f"resize {name}", value) for name, value in dict(card.get("resize") or {}).items()]
    pairs += [("source file", card.get("source_name")), ("branch", card.get("branch")), ("prefix", card.get("prefix"))]
    pairs += [("sha256", sha256), ("source sha256", card.get("source_sha256"))]
    pairs += [("note", note) for note in card.get("notes") or ()]

    def valued(name: str, value: Any) -> Markup:
        fact = "resize" if name.startswith("resize ") else name
        where = sources.get(fact, inferred if name in architecture else None)
        return join([_text(value), tag("small", f"from: {where}", class_="from") if where else None])

    return facts((name, valued(name, value)) for name, value in pairs if value not in (None, ""))


def _ledger(ledger: Mapping[str, Any]) -> Markup:
    entries = [entry for entry in dict(ledger["source_tensors"]).values() if isinstance(entry, dict)]
    fates = Counter(str(entry.get("fate")) for entry in entries)
    pairs: list[tuple[str, Any]] = [(fate, f"{number} tensors") for fate, number in fates.most_common()]
    pairs += [("values", shown(ledger.get("parameters"))), ("tensors of the network", len(ledger["target_tensors"]))]
    dropped = dict(ledger.get("dropped") or {})
    pairs += [("dropped", f"{name}: {reason}") for name, reason in list(dropped.items())[:LISTED]]
    if len(dropped) > LISTED:
        pairs.append(("dropped", f"and {len(dropped) - LISTED} more"))
    named = ledger.get("foreign_globals") or ()
    pairs.append(("code in the file", f"{', '.join(map(str, named))} (named, not run)" if named else "none"))
    return facts(pairs)


def _environment(record: Result) -> Markup:
    code = record.code
    state = {True: "with changes that are not committed", False: "clean", None: "unknown"}[code.get("dirty")]
    command = shlex.join(str(part) for part in record.command)
    pairs = [
        ("command", tag("code", command)),
        ("started", record.started),
        ("duration", _duration(record.seconds)),
        ("device", record.device),
        ("commit", f"{code.get('commit') or 'unknown'}, {state}"),
        ("data", _text(record.data)),
        ("libraries", ", ".join(f"{name} {version}" for name, version in record.libraries.items())),
    ]
    pairs += [(name, getattr(record, name)) for name in ("job", "study", "artefacts") if getattr(record, name)]
    return facts(pairs)


def _nested(value: Any) -> Markup:
    if not isinstance(value, dict):
        return join([_text(value)])
    return facts(
        (name, _nested(below) if isinstance(below, dict) and below else _text(below)) for name, below in value.items()
    )


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(below)}" for name, below in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_text, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
