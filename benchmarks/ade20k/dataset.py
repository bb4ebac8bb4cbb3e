"""The scene parsing benchmark's layout, or images and label maps of one's own, checked before a run reads them.

ADE20K: ``images/{training,validation}``, ``annotations/{training,validation}``, ``objectInfo150.txt``; labels 1..C in
the list's order, 0 is unlabelled. Own data: ``images/{train,val}``, ``masks/{train,val}``, ``classes.txt`` with one
name a line; labels 0..C-1 in the list's order, 255 is void. Names of folders may be mixed, extensions are free; the
class list says how labels count. An image and its label map share their name up to the extension.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.core.data import KeptFacts
from benchmarks.errors import InputError
from benchmarks.files import require_folder
from benchmarks.images import image_size, orientation, read_labels
from benchmarks.listing import by_stem, list_images

#: Split -> what its folders may be called.
SPLITS = {"training": ("training", "train"), "validation": ("validation", "val")}
IMAGES, LABELS = ("images",), ("annotations", "masks", "labels")

#: Class lists: ADE20K's table, whose labels count from 1, and a plain list, whose labels count from 0.
CLASS_LISTS = {"objectInfo150.txt": 1, "classes.txt": 0}
VOID = 255


@dataclass(frozen=True)
class Ade20kRoot:
    """A folder of images and label maps by split and name, with its class names and the label of the first."""

    path: Path
    classes: tuple[str, ...]
    class_list: Path
    first_label: int
    pairs: dict[str, dict[str, tuple[Path, Path]]]

    @property
    def stems(self) -> dict[str, tuple[str, ...]]:
        """The names of each split's images, without folder and extension, sorted."""
        return {split: tuple(pairs) for split, pairs in self.pairs.items()}

    def image(self, split: str, stem: str) -> Path:
        return self.pairs[split][stem][0]

    def labels(self, split: str, stem: str) -> Path:
        return self.pairs[split][stem][1]

    def truth(self, split: str, stem: str) -> np.ndarray:
        """A label map in ADE20K's numbers: 1..C, and 0 for unlabelled; uint8 ``[H, W]``."""
        found = read_labels(self.labels(split, stem))
        return (found if self.first_label else np.where(found == VOID, 0, found + 1)).astype(np.uint8)

    def annotation_files(self) -> list[Path]:
        """Everything that a score depends on beside the images."""
        return [self.class_list, *(labels for pairs in self.pairs.values() for _, labels in pairs.values())]


def open_ade20k(root: str | os.PathLike[str]) -> Ade20kRoot:
    """Find the data at ``root`` or in ``root/ade20k`` and check every pair of image and label map.

    :class:`InputError` tells how many faults there are and the first three; see :func:`examine`.
    """
    data = locate(root)
    problems, _ = examine(data)
    if problems:
        more = f" ({len(problems)} faults in {data.path})" if len(problems) > 1 else ""
        raise InputError("; ".join(problems[:3]) + more)
    return data


def locate(root: str | os.PathLike[str]) -> Ade20kRoot:
    """The data at ``root`` or below it, with each image beside its label map; no file but the class list is opened."""
    root = require_folder(root, "data root (with ade20k/ADEChallengeData2016)")
    places = [root / "ade20k" / "ADEChallengeData2016", root / "ADEChallengeData2016", root / "ade20k", root]
    lists = [place / name for place in places for name in CLASS_LISTS if (place / name).is_file()]
    if not lists:
        raise InputError(
            f"{root} holds no ade20k/ADEChallengeData2016 with objectInfo150.txt, nor own data with classes.txt: check "
            "--data-root"
        )
    path = lists[0].parent
    pairs = {split: _pairs(path, split) for split in SPLITS}
    return Ade20kRoot(path, _classes(lists[0]), lists[0], CLASS_LISTS[lists[0].name], pairs)


def examine(data: Ade20kRoot) -> tuple[list[str], list[str]]:
    """Faults that no run survives or that would spoil its score, and remarks; each a line."""
    problems: list[str] = []
    seen = {split: np.zeros(len(data.classes), bool) for split in SPLITS}
    top = len(data.classes) if data.first_label else len(data.classes) - 1
    labels_kept, sizes_kept = KeptFacts(data.path, "labels-1"), KeptFacts(data.path, "sizes-1")
    for split, pairs in data.pairs.items():
        partner = {labels: image for image, labels in pairs.values()}
        looks = labels_kept.of_all(partner, _look, problems, f"{split} labels")
        sizes = sizes_kept.of_all(partner.values(), image_size, problems, f"{split} images")
        for file, (shape, found, turned) in looks.items():
            image, labels = partner[file], np.array(found, np.int64)
            size = sizes.get(image, shape)
            shape, size = tuple(shape), tuple(size)
            sides = f"{file} is {shape[1]}x{shape[0]}, its image {image.name} is {size[1]}x{size[0]}"
            there = labels if data.first_label else labels[labels != VOID]
            if shape != size:
                hint = ""
                if shape == size[::-1] and orientation(image) >= 5:
                    hint = f" (upright, by Exif orientation {orientation(image)}; the labels are for the stored pixels)"
                problems.append(f"{sides}{hint}: sizes must agree")
            if turned != 1:
                problems.append(
                    f"{file} has Exif orientation {turned}, which mmseg ignores in label maps: save it upright"
                )
            if there.max(initial=0) > top:
                also = "0 (not 255) is unlabelled there" if data.first_label else "255 is void"
                problems.append(f"{file} has label {there.max()}: labels are {data.first_label}..{top}, and {also}")
            else:
                seen[split][there[there >= data.first_label].astype(int) - data.first_label] = True
        if looks and not seen[split].any() and not problems:
            problems.append(f"every pixel of the {split} label maps is unlabelled: nothing can be learnt or scored")
        elif split == "training" and seen[split].sum() == 1 < len(data.classes) and not problems:
            only = data.classes[int(np.flatnonzero(seen[split])[0])]
            hint = "" if data.first_label else ": if 255 is an object in masks of 0 and 255, write 1, for 255 is void"
            problems.append(f"the training label maps show the class {only} alone: any network gets that right{hint}")
    for kept in (labels_kept, sizes_kept):
        kept.save()
    return problems, _remarks(data, seen)


def _remarks(data: Ade20kRoot, seen: dict[str, np.ndarray]) -> list[str]:
    lines = []
    nowhere = [data.classes[index] for index in np.flatnonzero(~seen["training"] & ~seen["validation"])]
    if nowhere:
        lines.append(f"{len(nowhere)} of {len(data.classes)} classes are in no label map: {', '.join(nowhere[:3])}")
    for split, said in (("training", "are never learnt"), ("validation", "have no score")):
        other = seen["validation" if split == "training" else "training"]
        absent = [data.classes[index] for index in np.flatnonzero(other & ~seen[split])]
        if absent:
            lines.append(f"{len(absent)} classes are in no {split} label map and {said}: {', '.join(absent[:3])}")
    return lines


def _classes(file: Path) -> tuple[str, ...]:
    try:
        # Not splitlines: a form feed or U+2028 within a name would shift all names after it.
        lines = file.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise InputError(f"{file} is not UTF-8 text ({error.reason}): save it as such, one class a line") from error
    if CLASS_LISTS[file.name]:  # a table with a heading; of synonyms the first counts
        lines = [line.split("\t")[-1].split(",")[0] for line in lines[1:] if line.strip()]
    names = tuple(line.strip() for line in lines)
    while names and not names[-1]:
        names = names[:-1]
    twice = sorted({name for name in names if names.count(name) > 1}) if not CLASS_LISTS[file.name] else []
    if not names or "" in names or twice or len(names) >= VOID:
        what = (
            f"names {twice[0]} twice"
            if twice
            else "has an empty line"
            if "" in names
            else f"lists {len(names)} classes"
        )
        raise InputError(f"{file} {what}: it needs 1 to {VOID - 1} classes, one name a line")
    return names


def _pairs(path: Path, split: str) -> dict[str, tuple[Path, Path]]:
    images, labels = (_files(path, kinds, split) for kinds in (IMAGES, LABELS))
    if not images | labels:
        raise InputError(
            f"{path} has no {IMAGES[0]}/{split}: unpack ADEChallengeData2016.zip again, or lay out your own"
        )
    if alone := images.keys() ^ labels.keys():
        stem = min(alone)
        has, lacks = ("image", "label map") if stem in images else ("label map", "image")
        raise InputError(f"{path}: {split} {has} {stem} has no {lacks} ({len(alone)} such): complete the pairs")
    return {stem: (images[stem], labels[stem]) for stem in sorted(images)}


def _files(path: Path, kinds: tuple[str, ...], split: str) -> dict[str, Path]:
    """Name -> file in the first folder that there is."""
    for folder in (path / kind / name for kind in kinds for name in SPLITS[split]):
        if folder.is_dir():
            return by_stem(folder, list_images(folder))
    return {}


def _look(path: Path) -> tuple[tuple[int, ...], list[int], int]:
    """Shape, the labels that occur, and the orientation of a label map."""
    labels = read_labels(path)
    return labels.shape, np.flatnonzero(np.bincount(labels.ravel())).tolist(), orientation(path)
