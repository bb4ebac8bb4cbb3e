"""One table over several benchmarks: a row a checkpoint, a column a metric, mean and spread over seeds."""

from __future__ import annotations

import statistics
from typing import Any

#: Heading, benchmark, where the number is in the record's metrics, factor to percent.
COLUMNS = (
    ("k-NN top-1", "knn", ("top1", "20"), 1.0),
    ("joint vote", "knn", ("single_vote", "20"), 1.0),
    ("DAVIS J&F", "davis", ("J&F-Mean",), 100.0),
    ("J", "davis", ("J-Mean",), 100.0),
    ("F", "davis", ("F-Mean",), 100.0),
    ("box AP", "coco", ("bbox/AP",), 1.0),
    ("mask AP", "coco", ("segm/AP",), 1.0),
)

#: By these columns a benchmark must tell the positive control from the negative one.
JUDGED = ("k-NN top-1", "DAVIS J&F", "mask AP")


def values(records: list[dict[str, Any]]) -> dict[str, dict[int, list[float | None]]]:
    """Name -> seed -> one value in percent for each of :data:`COLUMNS`, from the newest record of each benchmark."""
    found: dict[str, dict[int, list[float | None]]] = {}
    for record in sorted(records, key=lambda record: record["started"]):
        row = found.setdefault(record["name"], {}).setdefault(record["seed"], [None] * len(COLUMNS))
        for index, (_, benchmark, keys, factor) in enumerate(COLUMNS):
            if record["benchmark"] == benchmark:
                value: Any = record["metrics"]
                for key in keys:
                    value = value[key]
                row[index] = None if value is None else factor * value
    return found


def cell(numbers: list[float | None]) -> str:
    """The mean, with the sample standard deviation where there are several; a dash where a value is missing."""
    if not numbers or None in numbers:
        return "-"
    if len(numbers) == 1:
        return f"{numbers[0]:.2f}"
    return f"{statistics.mean(numbers):.2f} ± {statistics.stdev(numbers):.2f}"


def text(records: list[dict[str, Any]], low: str = "random", high: str = "supervised") -> str:
    """The table for a terminal, all columns in percent, and whether ``high`` beats ``low`` where both are there."""
    found = values(records)
    seeds = sorted({record["seed"] for record in records})
    scales = sorted({record["scale"] for record in records})
    table = [["checkpoint", *(heading for heading, *_ in COLUMNS)]]
    for name, by_seed in found.items():
        table.append([name, *(cell([row[i] for row in by_seed.values()]) for i in range(len(COLUMNS)))])
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])
        for row in table
    ]
    lines.insert(1, "-" * len(lines[0]))
    spread = f"; mean ± standard deviation over seeds {', '.join(map(str, seeds))}" if len(seeds) > 1 else ""
    not_paper = " (not a reproduction of the paper)" if "mini" in scales else ""
    lines.append(f"percent; scale: {', '.join(scales)}{not_paper}{spread}")
    if low in found and high in found:
        lines.append(_comparison(found[low], found[high], low, high))
    return "\n".join(lines)


def _comparison(low: dict[int, list], high: dict[int, list], low_name: str, high_name: str) -> str:
    """On how many seeds the positive control is above the negative one, a benchmark each."""
    counts = []
    for index, (heading, *_) in enumerate(COLUMNS):
        pairs = [(low[seed][index], high[seed][index]) for seed in low.keys() & high.keys()]
        pairs = [pair for pair in pairs if None not in pair]
        if heading in JUDGED and pairs:
            counts.append(f"{heading} {sum(a < b for a, b in pairs)} of {len(pairs)}")
    return f"seeds in which {high_name} beats {low_name}: {', '.join(counts)}"
