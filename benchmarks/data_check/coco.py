"""COCO 2017, or own data in its layout: ``train2017/``, ``val2017/``, ``annotations/instances_*.json``.

The runs' own readers decide: what passes here runs, and what is refused here is refused there, in the same words.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.coco.check import picture_faults
from benchmarks.coco.dataset import OFFICIAL, open_coco
from benchmarks.data_check.report import Report
from benchmarks.errors import InputError
from benchmarks.listing import list_images

MARKS = ("annotations", "train2017", "val2017")
WHERE = "https://cocodataset.org/#download"
_ARCHIVES = {"train": "train2017.zip (18 GB)", "val": "val2017.zip (1 GB)"}


def survey(folder: Path, check: bool) -> Report:
    """What is in ``folder``; with ``check`` the data set is opened as a run opens it, and every image is decoded."""
    report = Report("COCO 2017", str(folder))
    there = {split: _count(folder / f"{split}2017") for split in OFFICIAL}
    files = {split: folder / "annotations" / f"instances_{split}2017.json" for split in OFFICIAL}
    for split, file in files.items():
        report.found[f"{split}2017 images"] = there[split]
        if 0 < there[split] < OFFICIAL[split]:
            report.subset.append(f"{split}2017 images: {there[split]} of {OFFICIAL[split]}")
        if file.is_file():
            report.found[f"annotations/{file.name}"] = "there"
        else:
            _advise(report, split, file, sum(there.values()))
        # Pictures may lie elsewhere than in the split's folder: whether all are there, the opening knows.
        if not there[split] and not file.is_file():
            report.missing.append(f"{split}2017/: unpack {_ARCHIVES[split]} from {WHERE}")
    if all(file.is_file() for file in files.values()):
        _open(report, folder, check)
    if check:
        report.identify(folder, files.values())
    return report


def _open(report: Report, folder: Path, check: bool) -> None:
    try:
        if not check:
            return
        data = open_coco(folder)
    except InputError as error:
        report.problems.append(str(error))
        return
    for split, listing in data.listings.items():
        report.found[f"{split}2017 images listed"] = len(listing.names)
        report.found[f"{split}2017 objects"] = listing.objects
        report.found[f"{split}2017 crowds"] = listing.crowds
        if spare := report.found[f"{split}2017 images"] - len(listing.names):
            report.found[f"{split}2017 images not listed"] = max(0, spare)
        report.problems += picture_faults(data, split, whole=True, progress=True)
    report.found["categories"] = len(data.classes)
    for number, note in enumerate(data.notes, 1):
        report.found[f"note {number}"] = note


def _count(folder: Path) -> int:
    return len(list_images(folder)) if folder.is_dir() else 0


def _advise(report: Report, split: str, file: Path, pictures: int) -> None:
    name = f"annotations/{file.name}"
    others = sorted(path for path in file.parent.parent.rglob("*.json") if path.is_file())[:3]
    if others and pictures:
        shown = ", ".join(str(path.relative_to(file.parent.parent)) for path in others)
        report.missing.append(f"{name}: there are {shown}; put the one of the {split} split there under this name")
    else:
        report.missing.append(f"{name}: unpack annotations_trainval2017.zip (241 MB) from {WHERE}")
