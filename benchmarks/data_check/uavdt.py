"""UAVDT on disk: ``UAV-benchmark-M/Mxxxx/img%06d.jpg`` and ``UAV-benchmark-MOTD_v1.0/GT``."""

from __future__ import annotations

from pathlib import Path

from benchmarks.data_check.report import Report
from benchmarks.errors import InputError
from benchmarks.images import read_all, read_rgb
from benchmarks.uavdt.dataset import (
    FRAMES,
    GROUND_TRUTH,
    count_frames,
    frame_name,
    read_truth,
    require_one_size,
    truth_files,
)
from benchmarks.uavdt.sequences import ROWS, TEST_FRAMES, TOTAL_FRAMES, TRAIN_SEQUENCES

MARKS = ("UAV-benchmark-M", "UAV-benchmark-MOTD_v1.0")
WHERE = "https://sites.google.com/view/grli-uavdt"


def survey(folder: Path, check: bool) -> Report:
    """What is in ``folder``; with ``check`` every frame is decoded and every row that a run reads is parsed."""
    report = Report("UAVDT", str(folder))
    splits = {"training": tuple(TRAIN_SEQUENCES), "test": tuple(TEST_FRAMES)}
    there = {split: [name for name in names if (folder / FRAMES / name).is_dir()] for split, names in splits.items()}
    if not (folder / GROUND_TRUTH).is_dir():
        report.missing.append(f"{GROUND_TRUTH}/: unpack UAV-benchmark-MOTD_v1.0.zip from {WHERE}")
    lengths: dict[str, int] = {}
    for split, names in there.items():
        report.count(f"{split} sequences", len(names), len(splits[split]))
        if not names:
            report.missing.append(f"{FRAMES}/{splits[split][0]}, ...: unpack {FRAMES}.zip from {WHERE}")
        for name in names:
            try:
                lengths[name] = count_frames(folder, name)
            except InputError as error:
                report.problems.append(str(error))
    report.count("frames", sum(lengths.values()), TOTAL_FRAMES)
    for name, frames in lengths.items():
        if TEST_FRAMES.get(name, frames) != frames:
            report.subset.append(f"{name}: {frames} of {TEST_FRAMES[name]} frames")
    texts = {name: truth_files(folder, name) for name in sum(splits.values(), ())}
    with_truth = [name for name, paths in texts.items() if any(path.is_file() for path in paths)]
    report.count("sequences with ground truth", len(with_truth), len(texts))
    if check and (folder / GROUND_TRUTH).is_dir():
        objects = regions = 0
        named = [name for name in texts if name in lengths or name in with_truth]
        for name in named:
            more = _check_sequence(report, folder, name, lengths.get(name))
            objects, regions = objects + more[0], regions + more[1]
        report.found |= {"objects": objects, "ignored regions": regions}
        report.identify(folder, (path for name in named for path in texts[name]))
    return report


def _check_sequence(report: Report, folder: Path, name: str, frames: int | None) -> tuple[int, int]:
    """Read one sequence as a run does, and compare it with the official counts; its objects and ignored regions."""
    paths = [folder / frame_name(name, number) for number in range(1, (frames or 0) + 1)]
    sizes = read_all(paths, lambda path: read_rgb(path).shape[:2], report.problems, f"{name} frames")
    try:
        size = require_one_size(name, sizes.values()) if sizes else None
        objects, regions = read_truth(folder, name, frames or TEST_FRAMES.get(name), size)
    except InputError as error:
        report.problems.append(str(error))
        return 0, 0
    counts = len(objects), len(regions)
    for what, number, official in zip(("objects", "ignored regions"), counts, ROWS[name], strict=True):
        if number != official:
            report.subset.append(f"{name}: {number} of {official} {what}")
    return counts
