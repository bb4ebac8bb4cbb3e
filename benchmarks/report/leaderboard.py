"""The leaderboard: a ranked table for each metric; filters by protocol, data, backbone and scale, where scripts run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.report.markup import Markup, join, tag
from benchmarks.report.shared import Score
from benchmarks.report.tables import cell, sortable

HERE = Path(__file__).parent
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
#: A filter: what it is called, and the score's field.
FILTERS = (("protocol", "protocol"), ("data", "data"), ("backbone", "backbone"), ("scale", "scale"))
HEADINGS = (
    "model",
    "score",
    "backbone",
    "method",
    "epochs",
    "pretrained on",
    "seed",
    "protocol",
    "data",
    "scale",
    "proof",
)


def page(rows: Sequence[Score]) -> str:
    """The whole page. Scores of different metrics never share a table; the best is first."""
    metrics = dict.fromkeys((row.task, row.metric) for row in rows)
    tables = []
    for task, metric in metrics:
        own = [row for row in rows if (row.task, row.metric) == (task, metric)]
        own.sort(key=lambda row: (row.scale != "paper", -row.value))
        table = sortable(HEADINGS, [_row(row) for row in own], f"{task}: {metric}, percent")
        tables.append(tag("section", tag("h2", metric, tag("small", f" {task}")), table, class_="board"))
    head = join(
        [
            tag("meta", charset="utf-8"),
            tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
            tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
            tag("title", "FLSL benchmarks: leaderboard"),
            Markup(f"<style>{(HERE / 'page.css').read_text(encoding='utf-8')}</style>"),
        ]
    )
    lead = (
        f"{len(rows)} scores of {len({row.model for row in rows})} models. Scores of different protocols, data "
        "or scales cannot be compared: choose one of each. Scale mini is no reproduction of anything."
    )
    scripts = "".join((HERE / name).read_text(encoding="utf-8") for name in ("page.js", "leaderboard.js"))
    header = tag("header", tag("h1", "FLSL benchmarks: leaderboard"), tag("p", lead), _filters(rows))
    body = join([header, tag("main", *tables), Markup(f"<script>{scripts}</script>")])
    return f"<!DOCTYPE html>\n{tag('html', tag('head', head), tag('body', body), lang='en')}\n"


def _filters(rows: Sequence[Score]) -> Markup:
    chosen = []
    for name, field in FILTERS:
        values = sorted({str(getattr(row, field)) for row in rows})
        options = [tag("option", "all", value=""), *(tag("option", value, value=value) for value in values)]
        chosen.append(tag("label", f"{name} ", tag("select", *options, data_filter=field), " "))
    return tag("nav", *chosen, aria_label="filters", id="filters", hidden=True)


def _row(row: Score) -> Markup:
    between = None if row.low is None or row.high is None else tag("small", f"95%: [{row.low:.2f}, {row.high:.2f}]")
    edited = " edited" if row.dirty else ""
    proof = join([row.commit[:10] or "no commit", edited, tag("small", row.device), tag("small", row.started[:10])])
    cells = [
        tag("th", tag("b", row.model), scope="row"),
        cell(join([tag("b", f"{row.value:.2f}"), between]), row.value, class_="number"),
        cell(row.backbone),
        cell(row.method or "not told"),
        cell("-" if row.epochs is None else row.epochs, row.epochs, class_="number"),
        cell(row.pretraining or "not told"),
        cell(row.seed, row.seed, class_="number"),
        cell(row.protocol, class_="flag"),
        cell(join([row.data, tag("small", row.data_sha256[:8])])),
        cell(row.scale, class_=None if row.scale == "paper" else "mini"),
        cell(proof),
    ]
    return tag("tr", *cells, **{f"data_{field}": getattr(row, field) for _, field in FILTERS})
