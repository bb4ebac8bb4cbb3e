"""The scene parsing benchmark's layout, checked before a run reads it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.data_check.pictures import decode_labels, read_all
from benchmarks.errors import InputError
from benchmarks.files import require_file, require_folder

SPLITS = ("training", "validation")


@dataclass(frozen=True)
class Ade20kRoot:
    """``ADEChallengeData2016`` with its class names (label 1 is the first) and the file stems of its splits."""

    path: Path
    classes: tuple[str, ...]
    stems: dict[str, tuple[str, ...]]

    def image(self, split: str, stem: str) -> Path:
        return self.path / "images" / split / f"{stem}.jpg"

    def labels(self, split: str, stem: str) -> Path:
        return self.path / "annotations" / split / f"{stem}.png"

    def annotation_files(self) -> list[Path]:
        """Everything that a score depends on beside the images."""
        maps = [self.labels(split, stem) for split, stems in self.stems.items() for stem in stems]
        return [self.path / "objectInfo150.txt", *maps]


def open_ade20k(root: str | os.PathLike[str]) -> Ade20kRoot:
    """Find the data at ``root`` or in ``root/ade20k`` and check every pair of image and label map.

    :class:`InputError` names the first fault: an image or a label map without partner, a label map that is broken, of
    another size than its image, or has a label that is no class.
    """
    root = require_folder(root, "data root (with ade20k/ADEChallengeData2016)")
    places = [root / "ade20k" / "ADEChallengeData2016", root / "ADEChallengeData2016", root]
    path = next((place for place in places if (place / "objectInfo150.txt").is_file()), None)
    if path is None:
        raise InputError(f"{root} holds no ade20k/ADEChallengeData2016 with objectInfo150.txt: check --data-root")
    classes = _classes(path / "objectInfo150.txt")
    data = Ade20kRoot(path, classes, {split: _stems(path, split) for split in SPLITS})
    problems: list[str] = []
    for split, stems in data.stems.items():
        maps = {data.labels(split, stem): stem for stem in stems}
        for file, (shape, top) in read_all(maps, _shape_and_top, problems, f"{split} labels").items():
            image = data.image(split, maps[file])
            try:
                with Image.open(image) as opened:
                    size = opened.height, opened.width
            except OSError as error:
                raise InputError(f"{image} does not decode ({error}): fetch this file again") from error
            if shape != size:
                raise InputError(
                    f"{file} is {shape[1]}x{shape[0]}, its image {image.name} is {size[1]}x{size[0]}: sizes must agree"
                )
            if top > len(classes):
                raise InputError(
                    f"{file} has label {top}: labels are 1..{len(classes)}, and 0 (not 255) is unlabelled there"
                )
    if problems:
        raise InputError(problems[0])
    return data


def _classes(file: Path) -> tuple[str, ...]:
    lines = require_file(file, "class list").read_text(encoding="utf-8").splitlines()[1:]
    names = tuple(line.split("\t")[-1].split(",")[0].strip() for line in lines if line.strip())
    if not names:
        raise InputError(f"{file} lists no classes: unpack ADEChallengeData2016.zip again")
    return names


def _stems(path: Path, split: str) -> tuple[str, ...]:
    images = {file.stem for file in (path / "images" / split).glob("*.jpg")}
    labels = {file.stem for file in (path / "annotations" / split).glob("*.png")}
    if not images | labels:
        raise InputError(f"{path} has no images/{split}: unpack ADEChallengeData2016.zip again")
    if images ^ labels:
        stem = min(images ^ labels)
        has, lacks = ("image", "label map") if stem in images else ("label map", "image")
        raise InputError(
            f"{path}: {split} {has} {stem} has no {lacks} ({len(images ^ labels)} such): complete the pairs"
        )
    return tuple(sorted(images))


def _shape_and_top(path: Path) -> tuple[tuple[int, int], int]:
    labels: np.ndarray = decode_labels(path)
    return labels.shape, int(labels.max(initial=0))
