"""One table over several benchmarks: a row a checkpoint, a column a metric."""

from __future__ import annotations

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


def rows(records: list[dict[str, Any]]) -> dict[str, list[float | None]]:
    """Name -> one value in percent for each of :data:`COLUMNS`, from the newest record of each benchmark."""
    found: dict[str, list[float | None]] = {}
    for record in records:
        values = found.setdefault(record["name"], [None] * len(COLUMNS))
        for index, (_, benchmark, keys, factor) in enumerate(COLUMNS):
            if record["benchmark"] == benchmark:
                value: Any = record["metrics"]
                for key in keys:
                    value = value[key]
                values[index] = None if value is None else factor * value
    return found


def text(records: list[dict[str, Any]]) -> str:
    """The table for a terminal; a value that does not exist is a dash. All columns in percent."""
    scales = sorted({record["scale"] for record in records})
    body = rows(records)
    width = max(len(name) for name in [*body, "checkpoint"])
    lines = [f"{'checkpoint':<{width}}  " + "  ".join(f"{heading:>10}" for heading, *_ in COLUMNS)]
    lines.append("-" * len(lines[0]))
    for name, values in body.items():
        cells = ("-" if value is None else f"{value:.2f}" for value in values)
        lines.append(f"{name:<{width}}  " + "  ".join(f"{cell:>10}" for cell in cells))
    lines.append(
        f"percent; scale: {', '.join(scales)}{' (not a reproduction of the paper)' if 'mini' in scales else ''}"
    )
    return "\n".join(lines)
