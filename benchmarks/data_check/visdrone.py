"""VisDrone-DET on disk: ``VisDrone2019-DET-{train,val}`` with ``images/`` and ``annotations/``."""

from __future__ import annotations

from pathlib import Path

from benchmarks.data_check.report import Report
from benchmarks.errors import InputError
from benchmarks.images import read_all, read_rgb
from benchmarks.visdrone.dataset import TOTAL, YEARS, Split, check_split, open_split, read_truth, split_folder

MARKS = tuple(f"VisDrone{year}-DET-{split}" for year in YEARS for split in TOTAL)
WHERE = "https://github.com/VisDrone/VisDrone-Dataset"


def survey(folder: Path, check: bool) -> Report:
    """What is in ``folder``; with ``check`` every picture is decoded and every row read as a run reads it."""
    report = Report("VisDrone-DET", str(folder))
    splits: dict[str, Split] = {}
    for name, total in TOTAL.items():
        there = split_folder(folder, name)
        if there is None:
            report.missing.append(f"{MARKS[list(TOTAL).index(name)]}/: unpack VisDrone2019-DET-{name}.zip from {WHERE}")
            continue
        try:
            splits[name] = open_split(there)
        except InputError as error:
            report.problems.append(str(error))
        else:
            report.count(f"{name} pictures", len(splits[name].names), total)
    if check:
        for name, split in splits.items():
            _check_split(report, name, split)
        report.identify(folder, [split.annotations[name] for split in splits.values() for name in split.names])
    return report


def _check_split(report: Report, title: str, split: Split) -> None:
    before = len(report.problems)
    sizes = read_all(split.images.values(), lambda path: read_rgb(path).shape[:2], report.problems, f"{title} pictures")
    for name in split.names:
        path = split.images[name]
        try:
            if path in sizes:
                read_truth(split, name, sizes[path])
        except InputError as error:
            report.problems.append(str(error))
    if len(report.problems) > before:
        return
    try:
        found = check_split(split)
    except InputError as error:
        report.problems.append(str(error))
        return
    report.found |= {f"{title} objects": found["objects"], f"{title} regions and others": found["regions"]}
    if found["thin"]:
        report.subset.append(f"{title}: {found['thin']} of {found['objects']} objects are below a pixel: not learnt")
