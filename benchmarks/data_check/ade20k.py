"""ADE20K scene parsing on disk, or images and label maps of one's own (:mod:`benchmarks.ade20k.dataset`)."""

from __future__ import annotations

from pathlib import Path

from benchmarks.ade20k.dataset import examine, locate
from benchmarks.data_check.report import Report
from benchmarks.errors import InputError
from benchmarks.images import read_all, read_rgb

MARKS = ("ADEChallengeData2016", "images", "objectInfo150.txt", "classes.txt")
WHERE = "http://sceneparsing.csail.mit.edu"
_ARCHIVE = f"ADEChallengeData2016.zip (0.9 GB) from {WHERE}"
#: Images of the official splits.
TOTALS = {"training": 20_210, "validation": 2_000}


def survey(folder: Path, check: bool) -> Report:
    """What is in ``folder``; with ``check`` every image is decoded and every label map compared with it."""
    report = Report("ADE20K scene parsing", str(folder))
    try:
        data = locate(folder)
    except InputError as error:
        there = folder.is_dir() and any(folder.iterdir())
        line = str(error) if there else f"{folder} is not there or empty: unpack {_ARCHIVE}"
        (report.problems if there else report.missing).append(line)
        return report
    report.folder = str(data.path)
    for split, pairs in data.pairs.items():
        report.count(f"{split} images", len(pairs), TOTALS[split] if data.first_label else None)
    report.found["classes"] = len(data.classes)
    if check:
        problems, remarks = examine(data)
        report.problems += problems
        report.subset += remarks
        images = [image for pairs in data.pairs.values() for image, _ in pairs.values()]
        read_all(images, lambda path: read_rgb(path).shape, report.problems, "decoding")
        report.problems[:] = dict.fromkeys(report.problems)  # a broken header is found twice
        report.identify(data.path, data.annotation_files())
    return report
