"""UAVDT on disk: ``UAV-benchmark-M/Mxxxx/img%06d.jpg`` and ``UAV-benchmark-MOTD_v1.0/GT``."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.data_check.pictures import decode_size, read_all
from benchmarks.data_check.report import Report
from benchmarks.errors import InputError
from benchmarks.uavdt.rows import BOX, CATEGORY, FRAME, TRUTH_COLUMNS, read_rows
from benchmarks.uavdt.sequences import ROWS, TEST_FRAMES, TOTAL_FRAMES, TRAIN_SEQUENCES

MARKS = ("UAV-benchmark-M", "UAV-benchmark-MOTD_v1.0")
WHERE = "https://sites.google.com/view/grli-uavdt"
_SUFFIXES = ("_gt", "_gt_whole", "_gt_ignore")
#: Boxes of the official files leave the picture by a few pixels.
_SLACK = 8


def survey(folder: Path, check: bool) -> Report:
    """What is in ``folder``; with ``check`` every frame is decoded and every row of the text files parsed."""
    report = Report("UAVDT", str(folder))
    names = (*TRAIN_SEQUENCES, *TEST_FRAMES)
    frames = {name: sorted((folder / "UAV-benchmark-M" / name).glob("img*.jpg")) for name in names}
    truth = folder / "UAV-benchmark-MOTD_v1.0" / "GT"
    texts = {name: [truth / f"{name}{suffix}.txt" for suffix in _SUFFIXES] for name in names}
    with_text = [name for name in names if any(path.is_file() for path in texts[name])]
    if not any(frames.values()):
        report.missing.append(f"UAV-benchmark-M/: unpack UAV-benchmark-M.zip from {WHERE}")
    if not with_text:
        report.missing.append(f"UAV-benchmark-MOTD_v1.0/GT/: unpack UAV-benchmark-MOTD_v1.0.zip from {WHERE}")
    report.count("training sequences", sum(bool(frames[name]) for name in TRAIN_SEQUENCES), len(TRAIN_SEQUENCES))
    report.count("test sequences", sum(bool(frames[name]) for name in TEST_FRAMES), len(TEST_FRAMES))
    report.count("frames", sum(map(len, frames.values())), TOTAL_FRAMES)
    report.count("sequences with ground truth", len(with_text), len(names))
    for name, official in TEST_FRAMES.items():
        if frames[name]:
            _compare(report, f"{name}: {{}} of {official} frames", len(frames[name]), official)
    rows = {"_gt_whole": 0, "_gt_ignore": 0}
    for name in names:
        if frames[name] or name in with_text:
            report.problems += [f"{path} is missing: see {WHERE}" for path in texts[name] if not path.is_file()]
            if check:
                found = _check_sequence(report, name, frames[name], [path for path in texts[name] if path.is_file()])
                rows = {suffix: rows[suffix] + found.get(suffix, 0) for suffix in rows}
    if check:
        report.found |= {"objects": rows["_gt_whole"], "ignored regions": rows["_gt_ignore"]}
        read = [path for name in names for path in texts[name] if not path.stem.endswith("_gt")]
        report.identify(folder, read)
    return report


def _compare(report: Report, line: str, number: int, official: int) -> None:
    """Fewer than the official set has is a subset of it, more is a fault."""
    if number != official:
        (report.subset if number < official else report.problems).append(line.format(number))


def _check_sequence(report: Report, name: str, frames: list[Path], texts: list[Path]) -> dict[str, int]:
    """Compare one sequence with itself and with the official counts; returns the rows of each file by suffix."""
    for number, path in enumerate(frames, start=1):
        if path.stem != f"img{number:06d}":
            report.problems.append(f"{path} is not frame {number}: the frames of {name} have a gap before it")
            break
    sizes = set(read_all(frames, decode_size, report.problems, f"{name} frames").values())
    if len(sizes) > 1:
        report.problems.append(f"{name}: its frames have different sizes: {sorted(sizes)}")
    last = len(frames) or TEST_FRAMES.get(name)
    counts = {}
    for path in texts:
        try:
            rows = read_rows(path, TRUTH_COLUMNS, "ground truth file")
        except InputError as error:
            report.problems.append(str(error))
            continue
        suffix = path.stem.removeprefix(name)
        counts[suffix] = len(rows)
        if len(rows):  # a sequence may be without ignored regions
            _check_rows(report, path, rows, last, sizes)
    objects, regions = ROWS[name]
    if "_gt_whole" in counts:
        _compare(report, f"{name}: {{}} of {objects} objects", counts["_gt_whole"], objects)
    if "_gt_ignore" in counts:
        _compare(report, f"{name}: {{}} of {regions} ignored regions", counts["_gt_ignore"], regions)
    return counts


def _check_rows(report: Report, path: Path, rows: np.ndarray, last: int | None, sizes: set[tuple[int, int]]) -> None:
    frame, box = rows[:, FRAME], rows[:, BOX]
    if last is not None and frame.max() > last:
        report.problems.append(f"{path} has rows for frames {frame.min():.0f}..{frame.max():.0f}, there are 1..{last}")
    if len(sizes) == 1:
        ((height, width),) = sizes
        right, bottom = box[:, 0] + box[:, 2], box[:, 1] + box[:, 3]
        outside = (box[:, :2] < -_SLACK).any(axis=1) | (right > width + _SLACK) | (bottom > height + _SLACK)
        if outside.any():
            row = int(np.flatnonzero(outside)[0])
            report.problems.append(f"{path}, row {row + 1}: box {box[row].tolist()} leaves the {width}x{height} frame")
    if path.stem.endswith("_gt_whole") and not np.isin(rows[:, CATEGORY], (1, 2, 3)).all():
        report.problems.append(f"{path} has categories other than 1 car, 2 truck, 3 bus")
