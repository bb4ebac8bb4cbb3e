"""Tables for a terminal, for Markdown, for LaTeX and as data: one grid of cells, written in four ways."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.core.result import Result
from benchmarks.tables.paper import Line, Numbers, Table, lines

#: Format -> what its files end with.
SUFFIXES = {"text": "txt", "markdown": "md", "latex": "tex", "csv": "csv"}

MINI = "scale mini says nothing about the paper: no reproduction"


@dataclass(frozen=True)
class Sheet:
    """A finished table. ``rows`` are cells; a row of ``None`` is a rule. ``data`` is for CSV, a heading line first."""

    stem: str
    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...] | None, ...]
    notes: tuple[str, ...]
    data: tuple[tuple[Any, ...], ...]
    left: int = 1  # columns of words at the beginning; numbers follow


def sheet(table: Table, results: Sequence[Result]) -> Sheet:
    """The paper's table with our runs: for each its numbers, what we found, and the difference."""
    body = lines(table, results)
    rows: list[tuple[str, ...] | None] = []
    last_ran = False
    for line in body:
        what = []
        if any(value is not None for value in line.paper):
            what.append((table.reported, [_shown(value, "{:.1f}") for value in line.paper]))
        if line.runs:
            what.append(("ours", _with_spread(line)))
            if any(line.intervals):
                what.append(("95%", ["" if i is None else f"[{i[0]:.2f}, {i[1]:.2f}]" for i in line.intervals]))
            if any(difference is not None for difference in line.differences):
                what.append(("difference", [_shown(value, "{:+.2f}", "") for value in line.differences]))
        if rows and (line.runs or last_ran):
            rows.append(None)
        for index, (kind, cells) in enumerate(what):
            first = (line.label, line.backbone) if index == 0 else ("", "")
            judged = kind == "ours" or not line.runs
            last = (str(line.runs) if kind == "ours" else "", line.verdict if judged else "")
            rows.append((*first, kind, *cells, *last))
        last_ran = bool(line.runs)
    header = ("pretraining", "backbone", "", *(column.heading for column in table.columns), "seeds", "verdict")
    title = f"Table {table.number}: {table.title}" if isinstance(table.number, int) else table.title
    return Sheet(table.stem, title, header, tuple(rows), tuple(_notes(table, body)), tuple(_data(table, body)), left=3)


def render(page: Sheet, form: str) -> str:
    """``page`` in one of :data:`SUFFIXES`."""
    return {"text": _text, "markdown": _markdown, "latex": _latex, "csv": _csv}[form](page)


def plain(stem: str, title: str, header: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> Sheet:
    """A table that has no paper beside it."""
    body = tuple(tuple(row) for row in rows)
    return Sheet(stem, title, tuple(header), body, (), (tuple(header), *body), left)


def _shown(value: float | None, form: str, nothing: str = "-") -> str:
    return nothing if value is None else form.format(value)


def _with_spread(line: Line) -> list[str]:
    spread: Numbers = line.spread or (None,) * len(line.ours)
    pairs = zip(line.ours, spread, strict=True)
    return [_shown(value, "{:.2f}") + _shown(s, " ± {:.2f}", "") for value, s in pairs]


def _notes(table: Table, body: Sequence[Line]) -> list[str]:
    notes = [f"noise band: {table.noise:g} ({table.noise_reason})", f"source: {table.source}"]
    about = "about the paper" if table.reported == "paper" else "about these rows"
    notes += [f"{about}: {flag}" for flag in table.flags]
    notes += [f"{line.label}, {line.backbone}: {line.note}" for line in body if line.note]
    if any(any(line.intervals) for line in body):
        notes.append("95%: bootstrap interval of a single run over what was tested, not over seeds")
    if any(line.scale == "mini" for line in body):
        notes.append(MINI)
    notes += [f"records of {line.label}: {', '.join(line.records)}" for line in body if line.records]
    return notes


def _data(table: Table, body: Sequence[Line]) -> list[tuple[Any, ...]]:
    """A line for each row and metric, numbers in full."""
    found: list[tuple[Any, ...]] = [
        ("table", "row", "backbone", "scale", "metric", "paper", "ours", "spread", "seeds", "low", "high",
         "difference", "verdict", "noise", "flag", "records")
    ]  # fmt: skip
    for line in body:
        spread = line.spread or (None,) * len(table.columns)
        intervals = line.intervals or (None,) * len(table.columns)
        for index, column in enumerate(table.columns):
            low, high = intervals[index] or (None, None)
            numbers = (line.paper[index], line.ours[index], spread[index], line.runs, low, high)
            rest = (line.differences[index], line.verdict, table.noise, line.note, " ".join(line.records))
            found.append((table.number, line.label, line.backbone, line.scale, column.heading, *numbers, *rest))
    return found


def _text(page: Sheet) -> str:
    cells = [page.header, *(row for row in page.rows if row is not None)]
    widths = [max(len(row[index]) for row in cells) for index in range(len(page.header))]
    last = len(widths) - 1

    def line(row: Sequence[str]) -> str:
        padded = [
            cell.ljust(width) if index < page.left or index == last else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        return "  ".join(padded).rstrip()

    rule = "-" * (sum(widths) + 2 * last)
    body = ["" if row is None else line(row) for row in page.rows]
    return "\n".join([page.title, line(page.header), rule, *body, rule, *page.notes])


def _markdown(page: Sheet) -> str:
    def line(row: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"

    marks = ["---" if i < page.left or i == len(page.header) - 1 else "---:" for i in range(len(page.header))]
    body = [line(row) for row in page.rows if row is not None]
    notes = [f"- {_linked(note)}" for note in page.notes]
    return "\n".join([f"**{page.title}**", "", line(page.header), line(marks), *body, "", *notes])


def _linked(note: str) -> str:
    """File names of records as links."""
    head, mark, files = note.partition(": ")
    if not note.startswith("records of "):
        return note
    return head + mark + ", ".join(f"[{file.removeprefix('records/')}]({file})" for file in files.split(", "))


_ESCAPES = {"\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "#": r"\#", "_": r"\_", "$": r"\$", "{": r"\{",
            "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$"}  # fmt: skip


def _escaped(text: str) -> str:
    return "".join(_ESCAPES.get(character, character) for character in text)


def _number(cell: str) -> str:
    """A cell of figures: a minus sign is not a hyphen, and no bracket may be taken for an option of a row's end."""
    cell = _escaped(cell)
    if cell[:1] == "[":
        return "{" + cell + "}"
    return f"$-${cell[1:]}" if cell[:1] == "-" and len(cell) > 1 else cell


def _latex(page: Sheet) -> str:
    """A ``table`` for ``booktabs``, notes under it, records as comments."""
    inner = len(page.header) - page.left - 1
    out = ["% needs \\usepackage{booktabs}", "\\begin{table}", "\\centering\\small"]
    out += [f"\\caption{{{_escaped(page.title)}}}", f"\\begin{{tabular}}{{{'l' * page.left}{'r' * inner}l}}"]

    def line(row: Sequence[str]) -> str:
        cells = [_escaped(c) if i < page.left else _number(c) for i, c in enumerate(row)]
        return " & ".join(cells) + r" \\"

    out += ["\\toprule", line(page.header), "\\midrule"]
    out += ["\\addlinespace" if row is None else line(row) for row in page.rows]
    out += ["\\bottomrule", "\\end{tabular}"]
    shown = [note for note in page.notes if not note.startswith("records of ")]
    if shown:
        out += ["", "\\smallskip", "\\begin{minipage}{\\linewidth}\\footnotesize"]
        out += [_escaped(note) + r"\par" for note in shown]
        out.append("\\end{minipage}")
    out.append("\\end{table}")
    return "\n".join([*out, *(f"% {note}" for note in page.notes if note.startswith("records of "))])


def _plain_number(value: Any) -> Any:
    """Enough digits for any use, and none of the binary fraction's."""
    return "" if value is None else round(value, 6) if isinstance(value, float) else value


def _csv(page: Sheet) -> str:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows([_plain_number(value) for value in row] for row in page.data)
    return stream.getvalue().rstrip("\n")
