"""The paper's tables as HTML: ours beside the paper's numbers, the difference, a verdict in words, sign and colour."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.core.result import Result
from benchmarks.report.markup import Markup, join, tag
from benchmarks.report.numbers import Group, all_tables
from benchmarks.tables import paper

#: How a verdict begins -> its class and sign. Colour is never alone.
VERDICTS = (
    ("reproduced", "reproduced", "●"),
    ("within noise", "within", "≈"),
    ("differs", "differs", "▲"),
    ("mini", "mini", "◇"),
    ("not run", "none", "○"),
    ("", "other", "·"),
)


def section(records: Sequence[Result], groups: Sequence[Group]) -> Markup | None:
    """Every table of the paper that ``records`` have something to say about; those of scale mini by their groups."""
    full = [record for record in records if record.scale == "paper"]
    blocks = []
    for table in all_tables():
        against, mini = paper.lines(table, full), []
        for group in groups:
            if group.scale != "paper":
                ran = [line for line in paper.lines(table, group.records()) if line.runs]
                mini += [(group.title, ran)] if ran else []
        if mini or any(line.runs for line in against):
            blocks.append(_paper(table, against, mini))
    return join(blocks) if blocks else None


def verdict(text: str) -> Markup:
    """A verdict with its sign, coloured by its class."""
    kind, sign = next((kind, sign) for start, kind, sign in VERDICTS if text.startswith(start))
    return tag("span", tag("span", sign, aria_hidden="true"), f" {text}", class_=f"verdict {kind}")


def sortable(headings: Sequence[str], rows: Sequence[Markup], caption: str) -> Markup:
    """A table whose headings sort it, where scripts run; it can be scrolled sideways on its own."""
    head = tag("tr", *(tag("th", heading, scope="col") for heading in headings))
    table = tag("table", tag("caption", caption), tag("thead", head), tag("tbody", *rows), class_="sortable")
    return tag("div", table, class_="scroll", tabindex="0", role="region", aria_label=caption)


def cell(text: Any, value: float | None = None, **attributes: Any) -> Markup:
    """A table cell that is sorted by ``value``, or by its text."""
    return tag("td", text, data_value=None if value is None else f"{value:.6f}", **attributes)


def _paper(
    table: paper.Table, against: Sequence[paper.Line], mini: Sequence[tuple[str, Sequence[paper.Line]]]
) -> Markup:
    headings = ["pretraining", "backbone", *(column.heading for column in table.columns), "seeds", "verdict"]
    title = f"Table {table.number}: {table.title}" if isinstance(table.number, int) else table.title
    whole = sortable(headings, [_row(line, table) for line in against], table.source)
    notes = [f"Noise band: {table.noise:g} ({table.noise_reason}). Differences: ours - paper."]
    notes += [f"Known inconsistency: {flag}." for flag in table.flags]
    about = join([whole, *(tag("p", note, class_="note") for note in notes)])
    if not any(line.runs for line in against):
        about = tag("details", tag("summary", "The paper's rows; none has been run at scale paper"), about)
    blocks = [tag("h3", title), about]
    if mini:
        blocks.append(tag("h4", "Scale mini: not a reproduction, and not comparable with the paper's numbers"))
        blocks += [sortable(headings, [_row(line, table) for line in lines], title) for title, lines in mini]
    return join(blocks)


def _row(line: paper.Line, table: paper.Table) -> Markup:
    label = [tag("b", line.label) if line.runs else line.label]
    if line.note:
        label.append(tag("small", line.note, class_="flag"))
    cells = [tag("th", *label, scope="row"), cell(line.backbone)]
    empty = (None,) * len(line.ours)
    spreads, intervals = line.spread or empty, line.intervals or empty
    for theirs, ours, spread, interval in zip(line.paper, line.ours, spreads, intervals, strict=True):
        parts: list[str] = [] if ours is None else [tag("b", f"{ours:.2f}")]
        parts += [] if spread is None else [f" ± {spread:.2f}"]
        parts += [] if interval is None else [tag("small", f"95%: [{interval[0]:.2f}, {interval[1]:.2f}]")]
        if theirs is not None:
            parts.append(tag("small", f"{table.reported} {theirs:.1f}"))
        if theirs is not None and ours is not None:
            parts.append(tag("small", f"{ours - theirs:+.2f}", class_="difference"))
        cells.append(cell(join(parts) if parts else "-", ours if ours is not None else theirs, class_="number"))
    cells += [cell(line.runs or "-", line.runs, class_="number"), cell(verdict(line.verdict))]
    return tag("tr", *cells, class_="ours" if line.runs else "theirs")
