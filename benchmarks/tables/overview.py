"""One table over several tasks: a row a model, a column a metric, mean and spread over seeds."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.core.result import Result
from benchmarks.tables import spread

#: Benchmark -> heading, where the number is in its metrics, factor to percent.
COLUMNS: Mapping[str, tuple[tuple[str, tuple[str, ...], float], ...]] = {
    "knn": (("k-NN top-1", ("top1", "20"), 1.0), ("joint vote", ("single_vote", "20"), 1.0)),
    "davis": (("DAVIS J&F", ("J&F-Mean",), 100.0), ("J", ("J-Mean",), 100.0), ("F", ("F-Mean",), 100.0)),
    "coco": (("box AP", ("bbox/AP",), 1.0), ("mask AP", ("segm/AP",), 1.0)),
    "coco-mask-rcnn": (("box AP", ("bbox/AP",), 1.0), ("mask AP", ("segm/AP",), 1.0)),
    "coco-vitdet": (("ViTDet box AP", ("bbox/AP",), 1.0), ("ViTDet mask AP", ("segm/AP",), 1.0)),
    "coco-mask-rcnn-frozen": (("frozen box AP", ("bbox/AP",), 1.0), ("frozen mask AP", ("segm/AP",), 1.0)),
    "coco-vitdet-frozen": (("frozen ViTDet box AP", ("bbox/AP",), 1.0), ("frozen ViTDet mask AP", ("segm/AP",), 1.0)),
    "uavdt": (("UAVDT AP", ("AP",), 1.0),),
    "visdrone": (("VisDrone AP", ("AP",), 1.0), ("VisDrone AP50", ("AP50",), 1.0)),
    "ade20k": (("ADE20K mIoU", ("mIoU",), 1.0),),
}

#: By these columns a benchmark must tell the positive control from the negative one.
JUDGED = ("k-NN top-1", "DAVIS J&F", "mask AP", "UAVDT AP", "ADE20K mIoU")

#: A column: its heading, its benchmark, the task and protocol of its results, and where the number is.
Column = tuple[str, str, str, str, tuple[str, ...], float]


def columns(results: Sequence[Result]) -> list[Column]:
    """The columns that ``results`` fill. Two protocols of one benchmark never share one."""
    order = list(COLUMNS)
    kinds = dict.fromkeys((r.benchmark, r.task, r.protocol) for r in results)
    ranked = sorted(kinds, key=lambda kind: order.index(kind[0]) if kind[0] in order else len(order))
    found = []
    for benchmark, task, protocol in ranked:
        several = sum(kind[0] == benchmark for kind in kinds) > 1
        for heading, keys, factor in COLUMNS.get(benchmark) or _of_task(task, benchmark):
            said = f"{heading} ({task if task != benchmark else protocol})" if several else heading
            found.append((said, benchmark, task, protocol, keys, factor))
    return found


def _of_task(task: str, benchmark: str) -> tuple[tuple[str, tuple[str, ...], float], ...]:
    """What a task of somebody's own shows."""
    from benchmarks.core.tasks import tasks

    known = tasks().get(task)
    found = known.columns if known else ()
    return tuple((f"{benchmark} {heading}", tuple(place.split(".")), factor) for heading, place, factor in found)


def values(results: Sequence[Result]) -> dict[str, dict[int, list[float | None]]]:
    """Name -> seed -> one value in percent for each of :func:`columns`, from the newest record of each task."""
    wanted = columns(results)
    found: dict[str, dict[int, list[float | None]]] = {}
    for result in sorted(results, key=lambda result: result.started):
        row = found.setdefault(result.name, {}).setdefault(result.seed, [None] * len(wanted))
        for index, (_, benchmark, task, protocol, keys, factor) in enumerate(wanted):
            if (result.benchmark, result.task, result.protocol) == (benchmark, task, protocol):
                value: Any = result.metrics
                for key in keys:
                    value = value.get(key) if isinstance(value, Mapping) else None
                row[index] = None if value is None else factor * value
    return found


def cell(numbers: Sequence[float | None]) -> str:
    """The mean, with the sample standard deviation where there are several; a dash where a value is missing."""
    known = [number for number in numbers if number is not None]
    if not known or len(known) < len(numbers):
        return "-"
    if len(known) == 1:
        return f"{known[0]:.2f}"
    return f"{statistics.mean(known):.2f} ± {statistics.stdev(known):.2f}"


def text(results: Sequence[Result], low: str = "random", high: str = "supervised") -> str:
    """The table for a terminal, all columns in percent, and whether ``high`` beats ``low`` where both are there."""
    found, wanted = values(results), columns(results)
    seeds = sorted({result.seed for result in results})
    scales = sorted({result.scale for result in results})
    table = [["checkpoint", *(heading for heading, *_ in wanted)]]
    for name, by_seed in found.items():
        # A task without chance has one run, under the first seed, whatever the others have.
        filled = [
            [row[i] for row in by_seed.values() if row[i] is not None or len(by_seed) == 1] for i in range(len(wanted))
        ]
        table.append([name, *map(cell, filled)])
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])
        for row in table
    ]
    lines.insert(1, "-" * len(lines[0]))
    means = f"; mean ± standard deviation over seeds {', '.join(map(str, seeds))}" if len(seeds) > 1 else ""
    not_paper = " (not a reproduction of the paper)" if "mini" in scales else ""
    lines.append(f"percent; scale: {', '.join(scales)}{not_paper}{means}")
    lines += spread.lines(results)
    if low in found and high in found:
        lines.append(_comparison(found[low], found[high], low, high, wanted))
    return "\n".join(lines)


def _comparison(
    low: Mapping[int, Sequence[float | None]],
    high: Mapping[int, Sequence[float | None]],
    low_name: str,
    high_name: str,
    wanted: Sequence[Column],
) -> str:
    """On how many seeds the positive control is above the negative one, a benchmark each."""
    counts = []
    for index, (heading, *_) in enumerate(wanted):
        pairs = [(low[seed][index], high[seed][index]) for seed in low.keys() & high.keys()]
        known = [(a, b) for a, b in pairs if a is not None and b is not None]
        if heading in JUDGED and known:
            counts.append(f"{heading} {sum(a < b for a, b in known)} of {len(known)}")
    return f"seeds in which {high_name} beats {low_name}: {', '.join(counts)}"
