"""VisDrone-DET's layout, checked before a run reads it, and the same as COCO annotation files for the engines."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from benchmarks.errors import InputError, say
from benchmarks.files import require_folder, write_text
from benchmarks.images import image_size
from benchmarks.listing import by_stem, list_files, list_images
from benchmarks.uavdt.dataset import SLACK, look_like_corners, outside
from benchmarks.visdrone.rows import (
    BOX,
    CATEGORY,
    CLASSES,
    OCCLUSION,
    OTHERS,
    REGION,
    SCORE,
    SIZE,
    TRUNCATION,
    read_annotation,
)

IMAGES, ANNOTATIONS = "images", "annotations"
YEARS = ("2019", "2018")

#: Pictures of the published sets, by the toolkit's readme.
TOTAL = {"train": 6471, "val": 548}

T = TypeVar("T")


@dataclass(frozen=True)
class Split:
    """A folder with ``images/`` and ``annotations/``: one text file a picture."""

    folder: Path
    images: Mapping[str, Path]  # by the name that picture and annotation share, in the toolkit's order
    annotations: Mapping[str, Path]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.images)


@dataclass(frozen=True)
class VisdroneRoot:
    """Training pictures, and the validation pictures on which papers report: the test set's labels came later."""

    path: Path
    train: Split
    val: Split


def open_visdrone(root: str | os.PathLike[str], whole: bool = True) -> VisdroneRoot:
    """Find and check VisDrone-DET at ``root`` or ``root/visdrone``; :class:`InputError` names the fault.

    With ``whole`` both splits must have the published numbers of pictures.
    """
    root = require_folder(root, "VisDrone folder")
    path = root / "visdrone" if (root / "visdrone").is_dir() else root
    splits = {}
    for name in TOTAL:
        folder = split_folder(path, name)
        if folder is None:
            raise InputError(f"{path} has no VisDrone2019-DET-{name}/: check it with tools/prepare_data.py visdrone")
        splits[name] = open_split(folder)
        if whole and len(splits[name].names) != TOTAL[name]:
            raise InputError(
                f"{folder} has {len(splits[name].names)} pictures, the published set {TOTAL[name]}: "
                "unpack it again, or choose --scale mini"
            )
    return VisdroneRoot(path, **splits)


def split_folder(path: Path, split: str) -> Path | None:
    """Where a split lies below ``path``: under its published name, or the plain one."""
    for name in (*(f"VisDrone{year}-DET-{split}" for year in YEARS), split):
        if (path / name / IMAGES).is_dir() or (path / name / ANNOTATIONS).is_dir():
            return path / name
    return None


def open_split(folder: Path) -> Split:
    """A split whose pictures and annotations belong together; :class:`InputError` for one without the other."""
    for name in (IMAGES, ANNOTATIONS):
        if not (folder / name).is_dir():
            raise InputError(f"{folder} has no {name}/: VisDrone's splits have images/ and annotations/")
    images = by_stem(folder / IMAGES, list_images(folder / IMAGES))
    texts = by_stem(folder / ANNOTATIONS, list_files(folder / ANNOTATIONS, {".txt"}, deep=False))
    if not images or not texts:
        raise InputError(f"{folder} has {len(images)} pictures and {len(texts)} annotation files: unpack it again")
    for what, lone in (("annotation", images.keys() - texts.keys()), ("picture", texts.keys() - images.keys())):
        if lone:
            shown = ", ".join(sorted(lone)[:3])
            raise InputError(f"{folder}: {len(lone)} files have no {what}, such as {shown}: unpack it again")
    names = sorted(images, key=lambda name: f"{name}.txt")
    return Split(folder, {name: images[name] for name in names}, texts)


def faults_of(names: Iterable[str], read: Callable[[str], T]) -> dict[str, T]:
    """What ``read`` gives for each name; one :class:`InputError` for all that it refuses."""
    found, faults = {}, []
    for name in names:
        try:
            found[name] = read(name)
        except InputError as error:
            faults.append(str(error))
    if faults:
        several = f"{len(faults)} files are not usable: " if len(faults) > 1 else ""
        raise InputError(several + "; ".join(faults[:3]))
    return found


def read_truth(split: Split, name: str, size: tuple[int, int]) -> np.ndarray:
    """The annotation of one picture of ``size`` (height, width), whose boxes must be in it and not two corners."""
    rows = read_annotation(split.annotations[name])
    beyond = outside(rows[:, BOX], size)
    if beyond.any() and (look_like_corners(rows[:, BOX], size) or beyond.mean() > 0.5):
        row = int(np.flatnonzero(beyond)[0])
        hint = ", these look like two corners" if look_like_corners(rows[:, BOX], size) else ""
        raise InputError(
            f"{split.annotations[name]}: {beyond.sum()} of {len(rows)} boxes leave the {size[1]}x{size[0]} picture by "
            f"more than {SLACK} pixels, the first is {rows[row, BOX].tolist()}: left, top, width, height are "
            f"expected{hint}"
        )
    return rows


def check_split(split: Split) -> dict[str, int]:
    """Read all of a split; its ``objects``, those of them below a pixel (``thin``), and its ``regions`` and others.

    :class:`InputError` for all faults of its files, and where there is nothing to learn or to find.
    """
    found = _truth(split)[1].values()
    alone = sum(int(left_alone(rows).sum()) for rows in found)
    objects = [rows[~left_alone(rows)] for rows in found]
    thin = sum(int(_thin(rows).sum()) for rows in objects)
    count = sum(map(len, objects))
    if thin == count:
        raise InputError(f"{split.folder}: no row of categories 1 to 10 has score 1 and an area: there is no object")
    return {"objects": count, "thin": thin, "regions": alone}


def write_coco(split: Split, target: str | os.PathLike[str]) -> dict[str, int]:
    """Write a split as a COCO annotation file; returns its ``images``, ``annotated`` images, ``objects``, ``regions``.

    Every row is an annotation, not clipped. Objects are rows of categories 1 to 10 with score 1; all others (ignored
    regions, "others", objects of score 0) have ``iscrowd`` 1, which is how engines know places to leave alone.
    ``file_name`` is relative to the split's ``images``. Boxes below a pixel are not learnt: they are counted and said.
    """
    counted = check_split(split)
    sizes, truth = _truth(split)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    annotated = 0
    for name, path in split.images.items():
        height, width = sizes[name]
        file_name = path.relative_to(split.folder / IMAGES).as_posix()
        images.append({"id": len(images) + 1, "file_name": file_name, "width": width, "height": height})
        crowd = left_alone(truth[name])
        annotated += bool((~crowd & ~_thin(truth[name])).any())
        for row, alone in zip(truth[name], crowd, strict=True):
            box = row[BOX].tolist()
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": len(images),
                    "category_id": 1 if alone else int(row[CATEGORY]),
                    "bbox": box,
                    "area": box[2] * box[3],
                    "iscrowd": int(alone),
                    "truncation": int(row[TRUNCATION]),
                    "occlusion": int(row[OCCLUSION]),
                }
            )
    if counted["thin"]:
        say(f"{split.folder}: {counted['thin']} of {counted['objects']} objects are below a pixel: not learnt")
    categories = [{"id": number, "name": name} for number, name in enumerate(CLASSES, start=1)]
    write_text(target, json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    counts = {name: counted[name] for name in ("objects", "regions")}
    return {"images": len(images), "annotated": annotated, **counts}


def left_alone(rows: np.ndarray) -> np.ndarray:
    """bool ``[N]``: which rows of an annotation are no objects to be found."""
    return (rows[:, SCORE] == 0) | np.isin(rows[:, CATEGORY], (REGION, OTHERS))


def _thin(rows: np.ndarray) -> np.ndarray:
    """bool ``[N]``: boxes that mmdet leaves out."""
    return np.any(rows[:, SIZE] < 1, axis=1)


def _truth(split: Split) -> tuple[dict[str, tuple[int, int]], dict[str, np.ndarray]]:
    sizes = faults_of(split.names, lambda name: image_size(split.images[name]))
    return sizes, faults_of(split.names, lambda name: read_truth(split, name, sizes[name]))
