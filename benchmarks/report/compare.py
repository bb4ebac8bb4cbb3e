"""Checkpoints beside each other: an overview, every metric of every group, and any two of them."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence

from benchmarks.report.markup import Markup, join, json_block, tag
from benchmarks.report.numbers import Group, headlines, spread
from benchmarks.report.tables import cell, sortable

SCALES = {"paper": "Scale paper", "mini": "Scale mini: not a reproduction, and not comparable with the paper's numbers"}


def overview(groups: Sequence[Group]) -> Markup:
    """A row a checkpoint, a column a headline metric; a table for each scale."""
    blocks = []
    for scale, title in SCALES.items():
        columns = [
            (group, heading, metric, factor)
            for group in groups
            if group.scale == scale
            for heading, metric, factor in headlines(group.benchmark)
        ]
        names = list(dict.fromkeys(name for group, *_ in columns for name in group.runs))
        rows = []
        for name in names:
            cells = [tag("th", name, scope="row")]
            for group, _, metric, factor in columns:
                values = list(group.values(name, metric).values()) if name in group.runs else []
                mean = factor * sum(values) / len(values) if values else None
                cells.append(cell(spread(values, factor), mean, class_="number"))
            rows.append(tag("tr", *cells))
        if rows:
            headings = ["checkpoint", *(join([h, _short(group.title)]) for group, h, *_ in columns)]
            blocks.append(tag("h3", title) + sortable(headings, rows, "mean ± standard deviation over runs"))
    return join(blocks)


def _short(title: str) -> Markup:
    """A column's head has no room for a protocol that explains itself; the whole is what a pointer shows."""
    return tag("small", textwrap.shorten(title, 60, placeholder=" ..."), title=title)


def section(groups: Sequence[Group]) -> Markup:
    """Two choices that the page's script fills a table from, and below it every number, which needs no script."""
    names = list(dict.fromkeys(name for group in groups for name in group.runs))
    # Chosen at first: two that have much in common.
    often = Counter(name for group in groups for name in group.runs)
    together = max(groups, key=lambda group: (max(map(often.__getitem__, group.runs)), len(group.runs))).runs
    first, second = next(iter(together)), list(together)[-1]

    def choice(identity: str, chosen: str) -> Markup:
        options = [tag("option", name, value=name, selected=name == chosen) for name in names]
        return tag("select", *options, id=identity)

    label = tag("p", tag("label", "Compare ", choice("first", first)), tag("label", " with ", choice("second", second)))
    live: Markup | None = tag("div", label, tag("div", id="differences", aria_live="polite"), id="compare", hidden=True)
    live = live if len(names) > 1 else None
    note = tag(
        "p",
        "Differences are of runs with the same seed on the same data; with two or more of them their standard "
        "deviation stands beside. A difference within its spread says nothing, and one seed has no spread.",
        class_="note",
    )
    measured = [group for group in groups if group.metrics()]  # most figures have no numbers
    return join([live, note, *map(_matrix, measured), json_block("numbers", [_plain(group) for group in measured])])


def _matrix(group: Group) -> Markup:
    names = list(group.runs)
    rows = []
    for metric in group.metrics():
        cells = [tag("th", metric, scope="row")]
        for name in names:
            values = list(group.values(name, metric).values())
            cells.append(cell(spread(values, digits=3), sum(values) / len(values) if values else None, class_="number"))
        rows.append(tag("tr", *cells))
    title = f"{group.title}, scale {group.scale}"
    table = sortable(["metric", *names], rows, f"{title}, as recorded; mean ± standard deviation over runs")
    return tag("details", tag("summary", f"{title}: all {len(rows)} metrics"), table)


def _plain(group: Group) -> dict:
    """For the script: metric -> name -> [seed, value]."""
    metrics = {
        metric: {name: list(group.values(name, metric).items()) for name in group.runs} for metric in group.metrics()
    }
    return {"title": f"{group.title}, scale {group.scale}", "metrics": metrics}
