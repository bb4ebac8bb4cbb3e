"""The regression's tiers on the device: do scores that were stored from a CPU come out on a GPU?"""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.regression.run import EXPECTED, TIERS, check, data_name
from benchmarks.regression.setting import Setting
from device_parts.book import Row, Size
from device_parts.turns import device

#: The cases that cost least.
TINY = {"instant": ["knn"], "inference": ["davis"]}


def tier(name: str, size: Size) -> Iterator[Row]:
    """A row a score (tier ``inference``) or a case (``instant``); one that moved or failed does not end the part."""
    device()  # chooses what fp32 means
    setting = Setting(name, size.folder / "out", size.folder / "worlds")
    for case in TINY[name] if size.tiny else list(TIERS[name]):
        outcome = check(setting, [case], EXPECTED, data_name(None))
        for row in outcome.rows:
            yield {
                "case": row.case,
                "score": row.score,
                "status": row.status,
                "now_points": row.now,
                "stored_on_cpu_points": row.stored,
                "moved_by_points": None if row.moved_by is None else round(row.moved_by, 4),
                "tolerance_points": row.tolerance,
                "note": row.note,
                "wall_s": sum(outcome.seconds.values()),
            }
