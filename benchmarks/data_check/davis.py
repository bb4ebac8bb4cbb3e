"""DAVIS 2017 on disk: ``DAVIS/{JPEGImages,Annotations}/480p`` and ``ImageSets/2017``."""

from __future__ import annotations

from pathlib import Path

from benchmarks.data_check.pictures import decode_labels, decode_size, read_all
from benchmarks.data_check.report import Report

MARKS = ("DAVIS", "JPEGImages", "ImageSets")
WHERE = "https://davischallenge.org/davis2017/code.html"
_ARCHIVE = f"DAVIS-2017-trainval-480p.zip from {WHERE}"
#: Sequences of the official lists, and frames of validation.
TOTALS = {"train": 60, "val": 30}
VAL_FRAMES = 1999
_VOID = 255


def survey(folder: Path, check: bool) -> Report:
    """What is in ``folder``; with ``check`` every frame is decoded and compared with its label map."""
    root = folder / "DAVIS" if (folder / "DAVIS").is_dir() else folder
    report = Report("DAVIS 2017", str(root))
    for part in ("JPEGImages/480p", "Annotations/480p", "ImageSets/2017"):
        if not (root / part).is_dir():
            report.missing.append(f"{part}/: unpack {_ARCHIVE}")
    for split, total in TOTALS.items():
        listing = root / "ImageSets" / "2017" / f"{split}.txt"
        if not listing.is_file():
            report.missing.append(f"ImageSets/2017/{split}.txt: unpack {_ARCHIVE}")
            continue
        sequences = listing.read_text().split()
        report.count(f"{split} sequences", len(sequences), total)
        frames = {name: sorted((root / "JPEGImages" / "480p" / name).glob("*.jpg")) for name in sequences}
        number = sum(map(len, frames.values()))
        report.count(f"{split} frames", number, VAL_FRAMES if split == "val" else None)
        for name, images in frames.items():
            if not images:
                report.problems.append(f"{split}.txt lists {name}, but JPEGImages/480p/{name}/ has no frames")
            elif check:
                _check_sequence(report, root, name, images)
        if check and split == "val":
            masks = (sorted((root / "Annotations" / "480p" / name).glob("*.png")) for name in sequences)
            report.identify(root, (path for paths in masks for path in paths))
    return report


def _check_sequence(report: Report, root: Path, name: str, images: list[Path]) -> None:
    masks = sorted((root / "Annotations" / "480p" / name).glob("*.png"))
    if [path.stem for path in masks] != [path.stem for path in images]:
        report.problems.append(
            f"{name}: {len(images)} frames, but {len(masks)} label maps of the same names are needed"
        )
    sizes = read_all(images, decode_size, report.problems, f"{name} frames")
    labels = read_all(masks, decode_labels, report.problems, f"{name} labels")
    shapes = {path.stem: size for path, size in sizes.items()}
    for path, array in labels.items():
        if shapes.get(path.stem, array.shape) != array.shape:
            report.problems.append(f"{path} is {array.shape}, its frame is {shapes[path.stem]}")
    if masks and masks[0] in labels:
        first = labels[masks[0]]
        if not ((first > 0) & (first < _VOID)).any():
            report.problems.append(f"{masks[0]} shows no object: the first label map says what to follow")
