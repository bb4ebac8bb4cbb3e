"""Logged losses as line charts in SVG."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

from benchmarks.report.markup import Markup, tag

#: What is drawn of a log, if it is in it, and what its x axis is called.
QUANTITIES = ("loss", "total", "inter", "intra", "volume", "perplexity", "separability", "similarity")
STEPS = ("iteration", "step", "iter")
LINES = 6  # in one chart
POINTS = 240  # of one line; longer logs are averaged
WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 440, 230, 52, 34, 12, 10
DASHES = ("", "7 3", "2 3", "9 3 2 3", "12 4", "4 6")


def section(logs: Sequence[tuple[str, Path]]) -> Markup | None:
    """Charts of all logs: those with one name and one folder two levels up stand in one chart, a quantity each."""
    together: dict[tuple[str, str], dict[str, list[tuple[float, float]]]] = {}
    for label, path in logs:
        place = path.parent.parent if path.name == "log.jsonl" else _family(path)
        for quantity, points in _read(path).items():
            together.setdefault((str(place), quantity), {})[label] = points
    charts = []
    for (_, quantity), entry in together.items():
        lines = list(entry.items())
        for start in range(0, len(lines), LINES):
            charts.append(_chart(quantity, dict(lines[start : start + LINES])))
    return tag("div", *charts, class_="charts") if charts else None


def _family(path: Path) -> Path:
    """The folder that holds the runs beside this one: ``OUT`` of ``OUT/NAME/losses.jsonl`` and ``OUT/NAME/coco/``."""
    run = path.parent.parent if path.parent.name == "coco" else path.parent
    return run.parent


def _read(path: Path) -> dict[str, list[tuple[float, float]]]:
    """Quantity -> (step, value); lines that are no JSON (a run was killed while writing) are passed over."""
    found: dict[str, list[tuple[float, float]]] = {}
    with open(path, encoding="utf-8", errors="replace") as stream:
        for line in stream:
            try:
                entry = json.loads(line)
                step = next(entry[name] for name in STEPS if name in entry)
            except (ValueError, TypeError, StopIteration):
                continue
            for name in QUANTITIES:
                value = entry.get(name)
                if isinstance(value, (int, float)) and isinstance(step, (int, float)) and math.isfinite(value):
                    found.setdefault(name, []).append((float(step), float(value)))
    return {name: _averaged(points) for name, points in found.items() if len(points) > 1}


def _averaged(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    size = math.ceil(len(points) / POINTS)
    blocks = [points[i : i + size] for i in range(0, len(points), size)]
    return [(sum(x for x, _ in block) / len(block), sum(y for _, y in block) / len(block)) for block in blocks]


def _chart(quantity: str, lines: dict[str, list[tuple[float, float]]]) -> Markup:
    xs = [x for points in lines.values() for x, _ in points]
    ys = [y for points in lines.values() for _, y in points]
    (left, right), (low, high) = span(xs), span(ys)

    def place(x: float, y: float) -> tuple[float, float]:
        across = LEFT + (WIDTH - LEFT - RIGHT) * (x - left) / (right - left)
        return across, HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * (y - low) / (high - low)

    parts = []
    for value in ticks(low, high):
        height = place(left, value)[1]
        parts.append(tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=f"{height:.1f}", y2=f"{height:.1f}", class_="grid"))
        parts.append(tag("text", f"{value:g}", x=LEFT - 6, y=f"{height + 4:.1f}", text_anchor="end"))
    for value in ticks(left, right):
        parts.append(tag("text", f"{value:g}", x=f"{place(value, low)[0]:.1f}", y=HEIGHT - 17, text_anchor="middle"))
    parts.append(tag("text", "step", x=WIDTH - RIGHT, y=HEIGHT - 3, text_anchor="end"))
    for index, points in enumerate(lines.values()):
        path = " ".join("{:.1f},{:.1f}".format(*place(x, y)) for x, y in points)
        parts.append(tag("polyline", points=path, class_=f"line c{index}", stroke_dasharray=DASHES[index] or None))
    picture = tag("svg", *parts, viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", aria_label=f"{quantity} by step")
    return tag("figure", tag("figcaption", quantity), picture, legend(list(lines)))


def legend(labels: Sequence[str]) -> Markup:
    """The stroke of each line of a chart beside its label."""
    items = []
    for index, label in enumerate(labels):
        stroke = tag("line", x1=0, x2=26, y1=5, y2=5, class_=f"line c{index}", stroke_dasharray=DASHES[index] or None)
        items.append(tag("li", tag("svg", stroke, viewBox="0 0 26 10", width=26, height=10), label))
    return tag("ul", *items, class_="legend")


def span(values: Sequence[float]) -> tuple[float, float]:
    """The lowest and the highest value, a unit apart where they are one."""
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def ticks(low: float, high: float, about: int = 4) -> list[float]:
    """Round numbers within [low, high]."""
    raw = (high - low) / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw)
    return [round(step * i, 12) for i in range(math.ceil(low / step), math.floor(high / step) + 1)]
