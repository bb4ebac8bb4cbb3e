"""COCO's twelve numbers of our runs, beside the few that a paper prints."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.core.result import Result
from benchmarks.tables.overview import cell
from benchmarks.tables.paper import Table
from benchmarks.tables.render import Sheet, plain

MEASURES = ("AP", "AP50", "AP75", "APs", "APm", "APl")


def twelve(table: Table, results: Sequence[Result]) -> Sheet:
    """All six box and all six mask numbers, in percent; over seeds with their standard deviation.

    A dash stands where the data has no object of a size. Of a seed that was run again the newest record counts.
    """
    found: dict[tuple[str, ...], dict[int, Result]] = {}
    for result in results:
        if result.benchmark == table.benchmark:
            found.setdefault((result.name, result.scale, result.study), {})[result.seed] = result
    rows = []
    for (name, scale, _), seeds in found.items():
        for what, kind in (("box", "bbox"), ("mask", "segm")):
            values = [cell([one.metrics[f"{kind}/{measure}"] for one in seeds.values()]) for measure in MEASURES]
            rows.append([name, scale, what, *values, str(len(seeds))])
    header = ["run", "scale", "", *MEASURES, "seeds"]
    return plain(f"{table.stem}_twelve", "All twelve numbers, in percent", header, rows, left=3)
