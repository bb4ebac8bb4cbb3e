"""ImageNet (ILSVRC) images with their bounding boxes, as lists; no pixels are read here."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from benchmarks.errors import InputError
from benchmarks.files import require_folder
from benchmarks.images import image_size, orientation
from benchmarks.knn.index import Box, BoxedImage, Facts, Files, Index
from benchmarks.listing import FolderMark, list_files, list_images, stem_of
from benchmarks.progress import Progress

#: Where a split's images may be, below the root: as torchvision unpacks them, and as Kaggle and the devkit do.
IMAGE_FOLDERS = ("{split}", "Data/CLS-LOC/{split}", "ILSVRC/Data/CLS-LOC/{split}")

#: Where a split's box files may be, below the root. The official archives also unpack to folders of their own.
BOX_FOLDERS = (
    "Annotations/CLS-LOC/{split}",
    "ILSVRC/Annotations/CLS-LOC/{split}",
    "Annotations/{split}",
    "annotations/{split}",
    "bbox/{split}",
)


@dataclass(frozen=True)
class Split:
    """What one split consists of; its images are read from the list when they are first asked for.

    ``fingerprint`` is a SHA-256 over the names of all images and the names, sizes and times of the box files and of the
    images that have one.
    """

    facts: Facts
    without_boxes: int  # images
    fingerprint: str
    read: Callable[[], list[BoxedImage]] = field(repr=False, compare=False)

    @cached_property
    def images(self) -> tuple[BoxedImage, ...]:
        """The images that have boxes, sorted by path."""
        return tuple(self.read())


def find_root(root: str | os.PathLike[str]) -> Path:
    """The folder that holds the splits: ``root`` or ``root/imagenet``."""
    root = require_folder(root, "ImageNet folder")
    for candidate in (root, root / "imagenet"):
        if any((candidate / folder.format(split="train")).is_dir() for folder in IMAGE_FOLDERS):
            return candidate
    raise InputError(
        f"no ImageNet under {root}: it, or imagenet/ in it, must hold train/, val/ and Annotations/CLS-LOC/"
    )


def image_folder(root: Path, split: str) -> Path:
    """Where the images of ``split`` are below ``root``; :class:`InputError` where there is no such folder."""
    return _first_folder(root, IMAGE_FOLDERS, split, "images")


def box_folder(root: Path, split: str) -> Path:
    """Where the box files of ``split`` are below ``root``; :class:`InputError` where there is no such folder."""
    return _first_folder(root, BOX_FOLDERS, split, "box files (XML)")


def _first_folder(root: Path, patterns: tuple[str, ...], split: str, what: str) -> Path:
    for pattern in patterns:
        folder = root / pattern.format(split=split)
        if folder.is_dir():
            return folder
    raise InputError(f"no {what} of the {split} split under {root}: put them in {patterns[0].format(split=split)}/")


def read_boxes(path: Path) -> tuple[tuple[int, int], list[Box], list[str]]:
    """One box file in the VOC format: the size that its boxes refer to (0, 0 if not given), boxes, classes."""
    try:
        tree: Any = ElementTree.parse(path).getroot()  # a text that is missing is caught below
        width, height = (int(tree.findtext(f"size/{side}") or 0) for side in ("width", "height"))
        boxes: list[Box] = []
        names: list[str] = []
        for found in tree.iter("object"):
            names.append(found.findtext("name").strip())
            a, b, c, d = (float(found.findtext(f"bndbox/{side}")) for side in ("xmin", "ymin", "xmax", "ymax"))
            boxes.append((a, b, c, d))
            if not all(map(math.isfinite, boxes[-1])):
                raise ValueError(f"a box is {boxes[-1]}")
    except (ElementTree.ParseError, AttributeError, TypeError, ValueError) as error:
        raise InputError(f"{path} is not a box file in the VOC format ({error}): unpack it again") from error
    return (width, height), boxes, names


def pair(images: list[str], boxes: list[str]) -> dict[str, str]:
    """Image -> box file, both as names in their folders; images without one are left out.

    They share their name, folder included; where they do not, as in the official validation set whose images people
    sort into folders a class, the file's name alone decides. :class:`InputError` where that fits several.
    """
    own = {_without_suffix(name): name for name in boxes}
    keys = list(map(_without_suffix, images))
    direct = {image: own[key] for image, key in zip(images, keys, strict=True) if key in own}
    if len(set(direct.values())) == len(direct) == len(own):
        return direct  # as in ILSVRC, where what follows would take seconds
    spare: dict[str, list[str]] = {}
    for key in own.keys() - set(keys):
        spare.setdefault(stem_of(own[key]), []).append(own[key])
    found: dict[str, str] = {}
    owners: dict[str, str] = {}
    for image, key in zip(images, keys, strict=True):
        box = own.get(key)
        if box is None and spare and (candidates := spare.get(stem_of(image))):
            if len(candidates) > 1:
                one, other = sorted(candidates)[:2]
                raise InputError(
                    f"{image} may have the box file {one} or {other} ({len(candidates)} such): "
                    "give box files the folders of their images"
                )
            box = candidates[0]
        if box is None:
            continue
        if box in owners:
            raise InputError(f"{owners[box]} and {image} share the box file {box}: one of them is there twice")
        found[image] = box
        owners[box] = image
    return found


def _without_suffix(name: str) -> str:
    head = name[: name.rindex(".")]  # listed by its suffix, so there is one
    return head if head.isascii() else f"{name[: name.rfind('/') + 1]}{stem_of(name)}"


def upright(image: BoxedImage, size: tuple[int, int]) -> BoxedImage:
    """``image`` with its boxes in the pixels of the upright picture, which is of ``size`` (width, height).

    An Exif tag may lay the stored pixels on their side. A box file that gives *their* width and height was drawn on
    them: its boxes are turned along. Where the sides are equal nobody can tell, and they are left.
    """
    width, height = image.size
    if size != (height, width) or width == height or (turned := orientation(image.path)) < 5:
        return image
    boxes = tuple(_turned(box, width, height, turned) for box in image.boxes)
    return BoxedImage(image.path, size, boxes, image.names)


def _turned(box: tuple[float, ...], width: int, height: int, orientation: int) -> tuple[float, float, float, float]:
    """A box of stored pixels in the upright picture; orientations 5 to 8, all of which swap the sides."""
    left, top, right, bottom = box[1], box[0], box[3], box[2]
    if orientation in (6, 7):  # columns are reversed; the upright picture is ``height`` wide
        left, right = height - right, height - left
    if orientation in (7, 8):
        top, bottom = width - bottom, width - top
    return left, top, right, bottom


def _read_boxes_of(files: Iterable[tuple[str, str]], pictures: Path, texts: Path) -> list[BoxedImage]:
    images = []
    for name, box_file in files:
        size, boxes, classes = read_boxes(texts / box_file)
        if boxes:
            path = pictures / name
            if min(size) <= 0:
                size = image_size(path)[::-1]
            images.append(BoxedImage(str(path), size, tuple(boxes), tuple(classes)))
    return images


def _list_split(pictures: Path, texts: Path, split: str) -> tuple[Files, list[FolderMark]]:
    folders: list[FolderMark] = []
    names, box_names = list_images(pictures, folders=folders), list_files(texts, {".xml"}, folders=folders)
    if not names:
        raise InputError(f"no images in {pictures}: unpack the {split} split there, one folder a class")
    found = pair(names, box_names)
    digest = hashlib.sha256("\n".join(names).encode()).hexdigest()
    spare = sorted(set(box_names).difference(found.values()))
    return Files(len(names), digest, list(found), list(found.values()), spare), folders


def read_split(root: Path, split: str, progress: bool = False, cache: str | os.PathLike[str] | None = None) -> Split:
    """The boxed images of ``split`` (``train`` or ``val``); ``root`` is what :func:`find_root` returned.

    :func:`pair` says which box file belongs to an image. Images without one, or without a box in it, are left out and
    counted. Boxes are kept in the pixels of the size in the box file; where it gives none, they are taken to refer to
    the upright image file.

    With a folder ``cache`` the list is kept there and read from there the next time (:mod:`benchmarks.knn.index`). A
    changed, added or removed file changes the fingerprint, which is :meth:`Files.mark`.
    """
    pictures, texts = image_folder(root, split), box_folder(root, split)
    where = hashlib.sha256(f"{pictures.resolve()} {texts.resolve()}".encode()).hexdigest()[:16]
    index = Index(Path(cache) / f"boxes-{split}-{where}.json" if cache else None)
    files, folders = index.files, index.kept.get("folders", [])
    known = files is not None
    if files is None:
        files, folders = _list_split(pictures, texts, split)
    mark = files.mark(pictures, texts)
    facts, images = index.facts(mark), None

    def read() -> list[BoxedImage]:
        if found := images or index.images(pictures, mark):
            return found
        pairs = zip(files.boxed, files.box_files, strict=True)
        shown = Progress(pairs, f"boxes of {split}", len(files.boxed), unit="image", disable=not progress)
        return _read_boxes_of(shown, pictures, texts)

    if facts is None or not known:
        images = read()
        facts = Facts.of(images)
        index.save(files, folders, pictures, mark, images, facts)
    if not facts.images:
        raise InputError(f"none of the {files.images} images in {pictures} has a box in {texts}: names must agree")
    return Split(facts, files.images - facts.images, mark, read)


def remarks(splits: dict[str, Split]) -> list[str]:
    """What explains a low figure, a line each: classes that cannot be hit, boxes without area.

    :class:`InputError` where no validation class has a training image.
    """
    lines = []
    train, val = (set(splits[split].facts.classes) for split in ("train", "val"))
    if absent := sorted(val - train):
        shown = ", ".join(absent[:3])
        lines.append(
            f"{len(absent)} of {len(val)} validation classes have no training image and cannot be hit: {shown}"
        )
        if len(absent) == len(val):
            raise InputError(f"{lines[0]}: are train and val of one data set?")
    for name, split in splits.items():
        facts = split.facts
        if facts.flat:
            where = f"{facts.flat} of {facts.boxes} {name} boxes have no area, such as {facts.a_flat_one}"
            lines.append(f"{where}: boxes are xmin, ymin, xmax, ymax, not width and height")
    return lines
