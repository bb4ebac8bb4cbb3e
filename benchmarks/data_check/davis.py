"""DAVIS 2017 on disk (``DAVIS/{JPEGImages,Annotations}/480p``, ``ImageSets/2017``), or videos laid out like it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.data_check.report import Report
from benchmarks.davis.dataset import FEWEST_MASKS, Video, find_root, open_video, read_frame, read_mask, sequence_names
from benchmarks.davis.scoring import truth_of
from benchmarks.errors import InputError
from benchmarks.files import read_lines
from benchmarks.images import read_all
from benchmarks.listing import list_folders

MARKS = ("DAVIS", "JPEGImages", "ImageSets")
WHERE = "https://davischallenge.org/davis2017/code.html"
_ARCHIVE = f"DAVIS-2017-trainval-480p.zip from {WHERE}"
#: Sequences and frames of the official validation list, the one that is read.
TOTALS = {"train": 60, "val": 30}
VAL_FRAMES = 1999


def survey(folder: Path, check: bool) -> Report:
    """What is in ``folder``; with ``check`` every frame and every mask that a run reads is decoded and compared."""
    report = Report("DAVIS 2017", str(folder))
    try:
        root = find_root(folder)
    except InputError:
        report.missing += [f"{part}/: unpack {_ARCHIVE}" for part in ("JPEGImages/480p", "Annotations/480p")]
        return report
    report.folder = str(root)
    try:
        names = sequence_names(root)
    except InputError as error:
        there = list_folders(root / "Annotations")
        report.missing.append(f"{error}" if there else f"{error}; unpack {_ARCHIVE}")
        return report
    training = root / "ImageSets" / "2017" / "train.txt"
    if training.is_file():
        report.count("train sequences", len(read_lines(training)), TOTALS["train"])
    report.count("val sequences", len(names), TOTALS["val"])
    videos = []
    for name in names:
        try:
            videos.append(open_video(root, name))
        except InputError as error:
            report.problems.append(str(error))
    report.count("val frames", sum(len(video.frames) for video in videos), VAL_FRAMES)
    for video in videos:
        if len(video.frames) < FEWEST_MASKS:
            report.subset.append(f"{video.name} has {len(video.frames)} frames: it is not scored")
        elif check:
            _check_sequence(report, root, video)
    if check:
        report.identify(root, (mask for video in videos for mask in video.masks))
    return report


def _check_sequence(report: Report, root: Path, video: Video) -> None:
    try:
        truth_of(root, video.name)
    except InputError as error:
        report.problems.append(str(error))
    frames = read_all(video.frames, _size_of_frame, report.problems, f"{video.name} frames")
    masks = read_all(video.masks, lambda path: np.shape(read_mask(path)), report.problems, f"{video.name} masks")
    first = masks.get(video.masks[0])
    for path, size in (frames | masks).items():
        if first and size != first:
            report.problems.append(
                f"{path} is {size[1]}x{size[0]}, but {video.masks[0]} is {first[1]}x{first[0]}: "
                "all frames and masks of a sequence must have one size"
            )


def _size_of_frame(path: Path) -> tuple[int, ...]:
    return read_frame(path).shape[:2]
