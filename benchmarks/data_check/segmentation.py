"""Segmentation data on disk: ``images/{train,val}``, ``masks/{train,val}`` and ``classes.txt``."""

from __future__ import annotations

from pathlib import Path

from benchmarks.data_check.report import Report
from benchmarks.errors import InputError
from benchmarks.listing import list_images

MARKS = ("images", "masks", "classes.txt")
WHERE = "docs/segmentation.md (your own images, or a published set: tools/prepare_data.py segmentation --layout)"


def survey(folder: Path, check: bool) -> Report:
    """What is in ``folder``; with ``check`` every pair is decoded and compared."""
    from benchmarks.segmentation.dataset import SPLITS, open_segmentation

    report = Report("segmentation", str(folder))
    for split in SPLITS:
        for kind in ("images", "masks"):
            place = folder / kind / split
            report.count(f"{split} {kind}", len(list_images(place)) if place.is_dir() else 0)
            if not report.found[f"{split} {kind}"]:
                report.missing.append(f"{kind}/{split}/: see {WHERE}")
    if check and not report.missing:
        try:
            data = open_segmentation(folder, "mini")
        except InputError as error:
            report.problems.append(str(error))
        else:
            report.found |= {"classes": len(data.classes), "remarks": data.remarks()}
            report.identify(folder, [pair.mask for pair in (*data.train, *data.val)])
    return report
