"""ADE20K scene parsing on disk: ``ADEChallengeData2016/{images,annotations}/{training,validation}``."""

from __future__ import annotations

from pathlib import Path

from benchmarks.data_check.pictures import decode_labels, decode_size, read_all
from benchmarks.data_check.report import Report

MARKS = ("ADEChallengeData2016", "images", "objectInfo150.txt")
WHERE = "http://sceneparsing.csail.mit.edu"
_ARCHIVE = f"ADEChallengeData2016.zip (0.9 GB) from {WHERE}"
#: Images of the official splits.
TOTALS = {"training": 20_210, "validation": 2_000}
CLASSES = 150


def survey(folder: Path, check: bool) -> Report:
    """What is in ``folder``; with ``check`` every image is decoded and compared with its label map."""
    root = folder / "ADEChallengeData2016" if (folder / "ADEChallengeData2016").is_dir() else folder
    report = Report("ADE20K scene parsing", str(root))
    if not (root / "objectInfo150.txt").is_file():
        report.missing.append(f"objectInfo150.txt: unpack {_ARCHIVE}")
    for split, total in TOTALS.items():
        images = {path.stem: path for path in sorted((root / "images" / split).glob("*.jpg"))}
        labels = {path.stem: path for path in sorted((root / "annotations" / split).glob("*.png"))}
        report.count(f"{split} images", len(images), total)
        for part, files in (("images", images), ("annotations", labels)):
            if not files:
                report.missing.append(f"{part}/{split}/: unpack {_ARCHIVE}")
        unpaired = images.keys() ^ labels.keys()
        if unpaired:
            report.problems.append(
                f"{split}: {len(unpaired)} images or label maps have no partner, e.g. {min(unpaired)}"
            )
        if check:
            _check_split(report, split, images, labels)
    if check:
        labels = (path for split in TOTALS for path in (root / "annotations" / split).glob("*.png"))
        report.identify(root, (root / "objectInfo150.txt", *labels))
    return report


def _check_split(report: Report, split: str, images: dict[str, Path], labels: dict[str, Path]) -> None:
    sizes = read_all(images.values(), decode_size, report.problems, f"decoding {split}")

    def size_and_top(path: Path) -> tuple[tuple[int, int], int]:
        array = decode_labels(path)
        return array.shape, int(array.max(initial=0))

    for path, (size, top) in read_all(labels.values(), size_and_top, report.problems, f"{split} labels").items():
        image = images.get(path.stem)
        if image in sizes and sizes[image] != size:
            report.problems.append(
                f"{path} is {size[0]}x{size[1]}, {image.name} is {sizes[image][0]}x{sizes[image][1]}"
            )
        if top > CLASSES:
            report.problems.append(f"{path} has label {top}, the benchmark's labels are 0..{CLASSES}")
