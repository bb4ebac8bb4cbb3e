"""UAVDT on disk: ``UAV-benchmark-M/Mxxxx/img%06d.jpg`` and ``UAV-benchmark-MOTD_v1.0/GT``."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.data_check.pictures import decode_size, read_all
from benchmarks.data_check.report import Report

MARKS = ("UAV-benchmark-M", "UAV-benchmark-MOTD_v1.0")
WHERE = "https://sites.google.com/view/grli-uavdt"
#: Frames of the test sequences, as the official toolkit has them.
TEST_FRAMES = {
    "M0203": 1007, "M0205": 646, "M0208": 265, "M0209": 1576, "M0403": 514, "M0601": 372, "M0602": 480,
    "M0606": 1374, "M0701": 1308, "M0801": 298, "M0802": 1101, "M1001": 1859, "M1004": 269, "M1007": 659,
    "M1009": 604, "M1101": 864, "M1301": 1182, "M1302": 719, "M1303": 445, "M1401": 1050,
}  # fmt: skip
TRAIN_SEQUENCES = (
    "M0101", "M0201", "M0202", "M0204", "M0206", "M0207", "M0210", "M0301", "M0401", "M0402", "M0501", "M0603",
    "M0604", "M0605", "M0702", "M0703", "M0704", "M0901", "M0902", "M1002", "M1003", "M1005", "M1006", "M1008",
    "M1102", "M1201", "M1202", "M1304", "M1305", "M1306",
)  # fmt: skip
TOTAL_FRAMES = 40_735
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
        if frames[name] and len(frames[name]) != official:
            few = len(frames[name]) < official
            line = f"{name}: {len(frames[name])} of {official} frames"
            (report.subset if few else report.problems).append(line)
    for name in names:
        if frames[name] or name in with_text:
            report.problems += [f"{path} is missing: see {WHERE}" for path in texts[name] if not path.is_file()]
            if check:
                _check_sequence(report, name, frames[name], [path for path in texts[name] if path.is_file()])
    return report


def _check_sequence(report: Report, name: str, frames: list[Path], texts: list[Path]) -> None:
    for number, path in enumerate(frames, start=1):
        if path.stem != f"img{number:06d}":
            report.problems.append(f"{path} is not frame {number}: the frames of {name} have a gap before it")
            break
    sizes = set(read_all(frames, decode_size, report.problems, f"{name} frames").values())
    if len(sizes) > 1:
        report.problems.append(f"{name}: its frames have different sizes: {sorted(sizes)}")
    last = len(frames) or TEST_FRAMES.get(name)
    for path in texts:
        try:
            text = path.read_text()
            if not text.strip():
                continue  # a sequence without ignored regions
            rows = np.loadtxt(text.splitlines(), delimiter=",", ndmin=2)
        except ValueError as error:
            report.problems.append(f"{path} has a row that cannot be read ({error})")
            continue
        if rows.shape[1] != 9:
            report.problems.append(f"{path} has {rows.shape[1]} columns instead of 9")
            continue
        _check_rows(report, path, rows, last, sizes)


def _check_rows(report: Report, path: Path, rows: np.ndarray, last: int | None, sizes: set[tuple[int, int]]) -> None:
    frame, box = rows[:, 0], rows[:, 2:6]
    if frame.min() < 1 or (last is not None and frame.max() > last):
        report.problems.append(f"{path} has rows for frames {frame.min():.0f}..{frame.max():.0f}, there are 1..{last}")
    if len(sizes) == 1:
        ((height, width),) = sizes
        right, bottom = box[:, 0] + box[:, 2], box[:, 1] + box[:, 3]
        outside = (box[:, :2] < -_SLACK).any(axis=1) | (right > width + _SLACK) | (bottom > height + _SLACK)
        if outside.any():
            row = int(np.flatnonzero(outside)[0])
            report.problems.append(f"{path}, row {row + 1}: box {box[row].tolist()} leaves the {width}x{height} frame")
    if path.stem.endswith("_gt_whole") and not np.isin(rows[:, 8], (1, 2, 3)).all():
        report.problems.append(f"{path} has categories other than 1 car, 2 truck, 3 bus")
