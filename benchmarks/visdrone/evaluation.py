"""From VisDrone-DET's text files to the official score, and why a zero is one."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.errors import InputError, say
from benchmarks.files import require_folder
from benchmarks.images import image_size
from benchmarks.listing import by_stem, list_files
from benchmarks.visdrone.dataset import Split, faults_of, open_split, read_truth
from benchmarks.visdrone.rows import BOX, CATEGORY, CLASSES, OTHERS, SCORE, read_detections
from benchmarks.visdrone.scoring import MOST_DETECTIONS, Picture, outside_ignored, score

PROTOCOL = (
    "VisDrone-DET toolkit: IoU 0.5:0.95, 500 detections a picture, boxes half inside ignored regions left out, "
    "each class weighted by the pictures that show it"
)
SUFFIX = ".txt"


def evaluate(ground_truth: str | os.PathLike[str], detections: str | os.PathLike[str]) -> dict[str, Any]:
    """Score the files ``detections/<picture>.txt`` against a folder with ``images/`` and ``annotations/``.

    Every picture with an annotation needs its file; an empty one says that nothing was found. Returns
    :func:`benchmarks.visdrone.scoring.score`'s numbers with the ``protocol``, ``images``, ``num_gt`` and ``num_det``
    (objects and detections that counted) and ``num_ignored`` (detections left out). :class:`InputError` names every
    file that is not usable.
    """
    split = open_split(require_folder(ground_truth, "folder of ground truth"))
    folder = require_folder(detections, "folder of detections")
    files = _files(split, folder)
    return score_rows(split, faults_of(split.names, lambda name: read_detections(files[name])))


def score_rows(split: Split, found: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Score detections by picture (rows of :mod:`.rows`, in the order of their file); says in a line what is odd."""
    sizes = faults_of(split.names, lambda name: image_size(split.images[name]))
    truth = faults_of(split.names, lambda name: read_truth(split, name, sizes[name]))
    pictures = [outside_ignored(truth[name], found[name], sizes[name]) for name in split.names]
    numbers = score(pictures)
    counted = [picture.truth for picture in pictures]
    objects = sum(int(np.isin(rows[:, CATEGORY], range(1, OTHERS)).sum()) for rows in counted)
    if not objects:
        raise InputError(f"{split.folder / 'annotations'} has no object of categories 1 to 10 to be found: no score")
    total, kept = sum(map(len, found.values())), sum(len(picture.detections) for picture in pictures)
    for line in _odd(found, total) + _explain_zero(numbers, pictures, kept):
        say(line)
    return {
        **numbers,
        "protocol": PROTOCOL,
        "images": len(pictures),
        "num_gt": objects,
        "num_det": kept,
        "num_ignored": total - kept,
    }


def _files(split: Split, folder: Path) -> dict[str, Path]:
    """The file of detections of each picture."""
    there = by_stem(folder, list_files(folder, {SUFFIX}, deep=False))
    missing = [name for name in split.names if name not in there]
    if missing:
        raise InputError(
            f"{folder} lacks {len(missing)} of {len(split.names)} files, such as {', '.join(missing[:3])} ({SUFFIX}): "
            "an empty file says that nothing was found"
        )
    strays = sorted(there.keys() - split.images.keys())
    if strays:
        say(f"{folder} has {len(strays)} files of no picture, such as {strays[0]}{SUFFIX}: they are not read")
    return there


def _odd(found: Mapping[str, np.ndarray], total: int) -> list[str]:
    """What decides numbers without being a fault."""
    lines = []
    categories = Counter(int(number) for rows in found.values() for number in rows[:, CATEGORY])
    if categories[0]:
        lines.append(
            f"{categories[0]} of {total} detections have category 0, which is never scored: categories count from 1 "
            f"({CLASSES[0]}) to 10 ({CLASSES[-1]})"
        )
    if categories[OTHERS]:
        lines.append(f"{categories[OTHERS]} of {total} detections have category 11 (others), which is never scored")
    unsorted = [name for name, rows in found.items() if (np.diff(rows[:, SCORE]) > 0).any()]
    if unsorted:
        lines.append(
            f"{len(unsorted)} files, such as {unsorted[0]}{SUFFIX}, are not sorted by falling score: the official rule "
            f"takes the first {', '.join(map(str, MOST_DETECTIONS))} rows of a file, not the best"
        )
    longest = max(found, key=lambda name: len(found[name]), default=None)
    if longest is not None and len(found[longest]) > MOST_DETECTIONS[-1]:
        lines.append(f"{longest}{SUFFIX} has {len(found[longest])} rows: those after its 500th never count")
    return lines


def _explain_zero(numbers: Mapping[str, Any], pictures: list[Picture], kept: int) -> list[str]:
    """Where nothing was hit: whether categories or columns were taken for others."""
    if numbers["AR500"] > 0:
        return []
    if not kept:
        return ["there is no detection outside of ignored regions: AP is 0"]
    for what, change in (("columns 1 to 4 as two corners: left, top, width, height are expected", _as_sizes),
                         ("categories one higher: they count from 1", _one_higher)):  # fmt: skip
        tried = score([Picture(picture.truth, change(picture.detections)) for picture in pictures])
        if tried["AR500"] > 0:
            return [f"none of {kept} detections hits an object, but some would with {what}"]
    return [f"none of {kept} detections overlaps an object of its category by 0.5: are they of these pictures?"]


def _as_sizes(rows: np.ndarray) -> np.ndarray:
    changed = rows.copy()
    changed[:, 2:4] -= changed[:, :2]
    return changed[(changed[:, BOX][:, 2:] > 0).all(axis=1)]


def _one_higher(rows: np.ndarray) -> np.ndarray:
    changed = rows.copy()
    changed[:, CATEGORY] += 1
    return changed
