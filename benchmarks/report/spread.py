"""Protocol spread on the page: a row a checkpoint, a column a protocol, and the same as a line a checkpoint."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from benchmarks.core.result import Result
from benchmarks.report.curves import DASHES, LINES, legend, span, ticks
from benchmarks.report.markup import Markup, join, tag
from benchmarks.report.tables import cell, sortable
from benchmarks.tables.spread import Spread, spreads

WIDTH, LEFT, RIGHT, TOP, ROW, BOTTOM = 520, 150, 16, 12, 34, 36
NOTE = (
    "One checkpoint under every protocol: numbers of two columns differ by the protocol, so compare checkpoints within "
    "a column alone."
)


def section(records: Sequence[Result]) -> Markup | None:
    """Every spread that ``records`` have; None where no checkpoint was judged by two protocols."""
    blocks = [_spread(found) for found in spreads(records)]
    return join(blocks) if blocks else None


def _spread(found: Spread) -> Markup:
    rows = []
    for name, values in found.rows.items():
        apart = max(values.values()) - min(values.values())
        cells = [tag("th", name, scope="row")]
        cells += [
            cell(f"{values[p]:.2f}" if p in values else "-", values.get(p), class_="number") for p in found.protocols
        ]
        rows.append(tag("tr", *cells, cell(tag("b", f"{apart:.2f}"), apart, class_="number")))
    title = f"{found.measure}, {found.data}, scale {found.scale}"
    table = sortable(["checkpoint", *found.protocols, "spread"], rows, f"{title}, in percent; spread: highest - lowest")
    names = list(found.rows)
    charts = [
        _chart(found, {name: found.rows[name] for name in names[start : start + LINES]})
        for start in range(0, len(names), LINES)
    ]
    return join([tag("h3", title), tag("p", NOTE, class_="note"), table, tag("div", *charts, class_="charts")])


def _chart(found: Spread, rows: Mapping[str, Mapping[str, float]]) -> Markup:
    """Protocols from top to bottom, the measure from left to right, a line a checkpoint with a dot at each value."""
    low, high = span([value for values in rows.values() for value in values.values()])
    low, high = low - (high - low) / 12, high + (high - low) / 12
    foot = TOP + ROW * len(found.protocols)

    def across(value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (value - low) / (high - low)

    parts = []
    for value in ticks(low, high, 8):
        place = f"{across(value):.1f}"
        parts.append(tag("line", x1=place, x2=place, y1=TOP, y2=foot, class_="grid"))
        parts.append(tag("text", f"{value:g}", x=place, y=foot + 16, text_anchor="middle"))
    parts.append(tag("text", found.measure, x=WIDTH - RIGHT, y=foot + 32, text_anchor="end"))
    heights = {protocol: TOP + ROW * (number + 0.5) for number, protocol in enumerate(found.protocols)}
    parts += [tag("text", p, x=LEFT - 8, y=f"{y + 4:.1f}", text_anchor="end") for p, y in heights.items()]
    for index, values in enumerate(rows.values()):
        points = [(across(values[p]), y) for p, y in heights.items() if p in values]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(tag("polyline", points=path, class_=f"line c{index}", stroke_dasharray=DASHES[index] or None))
        parts += [tag("circle", cx=f"{x:.1f}", cy=f"{y:.1f}", r=3.5, class_=f"dot c{index}") for x, y in points]
    size = f"0 0 {WIDTH} {foot + BOTTOM}"
    label = f"{found.measure} by protocol: {', '.join(itertools.islice(rows, LINES))}"
    picture = tag("svg", *parts, viewBox=size, role="img", aria_label=label)
    return tag("figure", tag("figcaption", "protocol spread"), picture, legend(list(rows)))
