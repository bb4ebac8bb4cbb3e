"""UAVDT's layout, checked before a run reads it, and the same as COCO annotation files for the engines."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.core.data import KeptFacts
from benchmarks.errors import InputError
from benchmarks.files import require_folder, write_text
from benchmarks.images import image_size
from benchmarks.listing import list_files
from benchmarks.progress import Progress
from benchmarks.uavdt.rows import (
    BOX,
    CATEGORY,
    FRAME,
    IGNORE_COLUMNS,
    OCCLUSION,
    OUT_OF_VIEW,
    TARGET,
    TRUTH_COLUMNS,
    read_rows,
    refuse_beyond,
)
from benchmarks.uavdt.sequences import TEST_FRAMES, TRAIN_SEQUENCES

FRAMES, GROUND_TRUTH = "UAV-benchmark-M", "UAV-benchmark-MOTD_v1.0/GT"
CLASSES = {3: ("car", "truck", "bus"), 1: ("vehicle",)}

#: Boxes of the official files leave the picture by a few pixels.
SLACK = 8


@dataclass(frozen=True)
class UavdtRoot:
    """A folder in UAVDT's layout, and its official sequences by split with their numbers of frames."""

    path: Path
    train: dict[str, int]
    test: dict[str, int]

    @property
    def ground_truth(self) -> Path:
        return self.path / GROUND_TRUTH

    def split(self, name: str) -> dict[str, int]:
        """Sequence -> frames of ``train`` or ``test``."""
        return {"train": self.train, "test": self.test}[name]

    def frame(self, sequence: str, number: int) -> Path:
        return self.path / frame_name(sequence, number)

    def text_files(self) -> list[Path]:
        """The files that say what is in the frames, of all its sequences."""
        return [file for name in (*self.train, *self.test) for file in truth_files(self.path, name)]


def frame_name(sequence: str, number: int) -> str:
    """Where frame ``number``, from 1, lies in the data set."""
    return f"{FRAMES}/{sequence}/img{number:06d}.jpg"


def open_uavdt(root: str | os.PathLike[str], whole: bool = True) -> UavdtRoot:
    """Find and check UAVDT at ``root`` or ``root/uavdt``; :class:`InputError` names the fault.

    With ``whole`` all 50 sequences must be there, the test sequences at their official lengths; else those that
    are there are taken, at least one of each split.
    """
    root = require_folder(root, "UAVDT folder")
    path = root / "uavdt" if (root / "uavdt").is_dir() else root
    if not (path / FRAMES).is_dir() or not (path / GROUND_TRUTH).is_dir():
        raise InputError(f"{path} has no {FRAMES}/ or no {GROUND_TRUTH}/: point to a folder in UAVDT's layout")
    splits = []
    for split, names in (("training", TRAIN_SEQUENCES), ("test", tuple(TEST_FRAMES))):
        found = {name: count_frames(path, name) for name in names if (path / FRAMES / name).is_dir()}
        missing = [name for name in names if name not in found]
        if missing and (whole or not found):
            raise InputError(
                f"{path / FRAMES} lacks {len(missing)} of {len(names)} {split} sequences, such as {missing[0]}: "
                "check the data with tools/prepare_data.py uavdt"
            )
        for name, frames in found.items():
            if whole and frames != TEST_FRAMES.get(name, frames):
                raise InputError(f"{path / FRAMES / name} has {frames} frames, officially {TEST_FRAMES[name]}")
        splits.append(found)
    return UavdtRoot(path, *splits)


def write_coco(
    data: UavdtRoot, split: str, target: str | os.PathLike[str], classes: int = 3, progress: bool = True
) -> dict[str, int]:
    """Write one split as a COCO annotation file; returns how many images, annotated images, objects, regions it has.

    Every frame is an image, also one without objects, and every row of ``_gt_whole`` an object: nothing is clipped,
    merged or left out. Categories are UAVDT's three, or one for all. Regions of ``_gt_ignore`` are annotations with
    ``iscrowd`` 1, which is how engines know places to leave alone; their category, the first, means nothing.
    ``file_name`` is relative to the data set's folder. ``area`` is the box's; there are no masks.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    counts = {"objects": 0, "regions": 0}
    for name, length in Progress(data.split(split).items(), desc=f"uavdt {split}", leave=False, disable=not progress):
        first = len(images) + 1
        sizes = {number: image_size(data.frame(name, number)) for number in range(1, length + 1)}
        height, width = require_one_size(name, sizes.values())
        for number in range(1, length + 1):
            images.append(
                {
                    "id": len(images) + 1,
                    "file_name": frame_name(name, number),
                    "width": width,
                    "height": height,
                    "sequence": name,
                    "frame": number,
                }
            )
        objects, regions = read_truth(data.path, name, length, (height, width))
        for rows, crowd in ((objects, 0), (regions, 1)):
            for row in rows:
                box = row[BOX].tolist()
                annotation = {
                    "id": len(annotations) + 1,
                    "image_id": first + int(row[FRAME]) - 1,
                    "category_id": int(row[CATEGORY]) if classes == 3 and not crowd else 1,
                    "bbox": box,
                    "area": box[2] * box[3],
                    "iscrowd": crowd,
                    "target": int(row[TARGET]),
                }
                if not crowd:
                    annotation |= {"out_of_view": int(row[OUT_OF_VIEW]), "occlusion": int(row[OCCLUSION])}
                annotations.append(annotation)
        counts["objects"] += len(objects)
        counts["regions"] += len(regions)
    counts |= {"images": len(images), "annotated": len({annotation["image_id"] for annotation in annotations})}
    categories = [{"id": number, "name": name} for number, name in enumerate(CLASSES[classes], start=1)]
    # Compact: indented, the training set would take 200 MB.
    write_text(target, json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return counts


def count_frames(path: Path, sequence: str) -> int:
    """How many frames a sequence of the data set at ``path`` has; they must count from 1 without a gap."""
    folder = path / FRAMES / sequence
    frames = {name for name in list_files(folder, {".jpg"}, deep=False) if name.startswith("img")}
    for number in range(1, len(frames) + 1):
        if os.path.basename(frame_name(sequence, number)) not in frames:
            raise InputError(f"{path / frame_name(sequence, number)} is missing among {len(frames)} frames")
    if not frames:
        raise InputError(f"{folder} has no frames img000001.jpg, ...: unpack {FRAMES}.zip again")
    return len(frames)


def require_one_size(sequence: str, sizes: Iterable[tuple[int, ...]]) -> tuple[int, ...]:
    """The (height, width) of a sequence's frames; :class:`InputError` where they have several."""
    distinct = sorted(set(sizes))
    if len(distinct) > 1:
        shown = ", ".join(f"{width}x{height}" for height, width in distinct[:3])
        raise InputError(f"{sequence}: its frames have {len(distinct)} sizes ({shown}): a sequence has one")
    return distinct[0]


def read_truth(
    path: Path, sequence: str, length: int | None = None, size: tuple[int, ...] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Objects and ignored regions of a sequence, rows of numbers (:mod:`benchmarks.uavdt.rows`).

    :class:`InputError` for rows after its last frame, for unknown categories, and for boxes that leave the frames of
    ``size`` (height, width) by more than :data:`SLACK` pixels; what is not known is not compared.
    """
    whole, ignored = truth_files(path, sequence)
    return read_truth_file(whole, length, size), read_truth_file(ignored, length, size)


def truth_files(path: Path, sequence: str) -> tuple[Path, Path]:
    """The files of a sequence's objects and of its ignored regions."""
    return path / GROUND_TRUTH / f"{sequence}_gt_whole.txt", path / GROUND_TRUTH / f"{sequence}_gt_ignore.txt"


def read_truth_file(file: Path, length: int | None, size: tuple[int, ...] | None) -> np.ndarray:
    """One of :func:`truth_files`, with the errors of :func:`read_truth`."""
    objects = file.stem.endswith("_gt_whole")
    rows = read_rows(file, TRUTH_COLUMNS if objects else IGNORE_COLUMNS, "ground truth file")
    if length is not None:
        refuse_beyond(file, rows, length)
    if size is not None:
        _refuse_outside(file, rows[:, BOX], size)
    if objects and not np.isin(rows[:, CATEGORY], (1, 2, 3)).all():
        raise InputError(f"{file} has categories other than 1, 2 and 3")
    return rows


def require_sound_truth(data: UavdtRoot) -> None:
    """:class:`InputError` unless all ground truth suits its frames. What did not change is not read again."""
    kept = KeptFacts(data.path, "uavdt-truth-1")
    for name, length in (data.train | data.test).items():
        size = image_size(data.frame(name, 1))
        for file in truth_files(data.path, name):
            kept.of(file, partial(_count_truth, length, size), f" {length} {size}")
    kept.save()


def _count_truth(length: int, size: tuple[int, ...], file: Path) -> int:
    return len(read_truth_file(file, length, size))


def outside(boxes: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """bool ``[N]``: boxes (left, top, width, height) that leave a (height, width) by more than :data:`SLACK`."""
    height, width = size
    right, bottom = boxes[:, 0] + boxes[:, 2], boxes[:, 1] + boxes[:, 3]
    return (boxes[:, :2] < -SLACK).any(axis=1) | (right > width + SLACK) | (bottom > height + SLACK)


def look_like_corners(boxes: np.ndarray, size: tuple[int, ...]) -> bool:
    """Whether all are inside the picture as two corners, the second never above or left of the first."""
    height, width = size
    return bool((boxes[:, 2:] >= boxes[:, :2]).all() and (boxes[:, 2:] <= np.array([width, height]) + SLACK).all())


def _refuse_outside(file: Path, boxes: np.ndarray, size: tuple[int, ...]) -> None:
    height, width = size
    beyond = outside(boxes, size)
    if beyond.any():
        row = int(np.flatnonzero(beyond)[0])
        hint = ", these look like two corners" if look_like_corners(boxes, size) else ""
        count = f"{beyond.sum()} of {len(boxes)} boxes leave the {width}x{height} frame"
        raise InputError(
            f"{file}: {count}, the first, in row {row + 1}, is {boxes[row].tolist()}: columns are left, top, width, "
            f"height{hint}"
        )
