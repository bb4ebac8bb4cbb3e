"""ImageNet (ILSVRC) images with their bounding boxes, as lists; no pixels are read here."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from xml.etree import ElementTree

from PIL import Image
from tqdm import tqdm

from benchmarks.errors import InputError
from benchmarks.files import require_folder, write_text

IMAGE_SUFFIXES = {".jpeg", ".jpg", ".png"}

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


#: Raise it when the kept list changes its meaning.
INDEX_VERSION = 1


@dataclass(frozen=True)
class BoxedImage:
    """An image and its boxes ``(xmin, ymin, xmax, ymax)`` in the pixels of an image of ``size`` (width, height)."""

    path: Path
    size: tuple[int, int]
    boxes: tuple[tuple[float, float, float, float], ...]
    names: tuple[str, ...]  # the class (wnid) of each box


@dataclass(frozen=True)
class Split:
    """The images of one split that have boxes, sorted by path, and how many had none.

    ``fingerprint`` is a SHA-256 over the names, sizes and times of all files that were read.
    """

    images: tuple[BoxedImage, ...]
    without_boxes: int
    fingerprint: str


def find_root(root: str | os.PathLike[str]) -> Path:
    """The folder that holds the splits: ``root`` or ``root/imagenet``."""
    root = require_folder(root, "ImageNet folder")
    for candidate in (root, root / "imagenet"):
        if any((candidate / folder.format(split="train")).is_dir() for folder in IMAGE_FOLDERS):
            return candidate
    raise InputError(
        f"no ImageNet under {root}: it, or imagenet/ in it, must hold train/, val/ and Annotations/CLS-LOC/"
    )


def _first_folder(root: Path, patterns: tuple[str, ...], split: str, what: str) -> Path:
    for pattern in patterns:
        folder = root / pattern.format(split=split)
        if folder.is_dir():
            return folder
    raise InputError(f"no {what} of the {split} split under {root}: put them in {patterns[0].format(split=split)}/")


def _files(folder: Path, suffixes: set[str]) -> list[Path]:
    return sorted(
        Path(where, name)
        for where, _, names in os.walk(folder)
        for name in names
        if os.path.splitext(name)[1].lower() in suffixes
    )


def read_boxes(path: Path) -> tuple[tuple[int, int], list[tuple[float, ...]], list[str]]:
    """One box file in the VOC format: the size that its boxes refer to (0, 0 if not given), boxes, classes."""
    try:
        tree = ElementTree.parse(path).getroot()
        size = tuple(int(tree.findtext(f"size/{side}") or 0) for side in ("width", "height"))
        boxes, names = [], []
        for found in tree.iter("object"):
            names.append(found.findtext("name").strip())
            boxes.append(tuple(float(found.findtext(f"bndbox/{side}")) for side in ("xmin", "ymin", "xmax", "ymax")))
            if not all(map(math.isfinite, boxes[-1])):
                raise ValueError(f"a box is {boxes[-1]}")
    except (ElementTree.ParseError, AttributeError, TypeError, ValueError) as error:
        raise InputError(f"{path} is not a box file in the VOC format ({error}): unpack it again") from error
    return size, boxes, names


def _file_size(path: Path) -> tuple[int, int]:
    try:
        with Image.open(path) as image:
            return image.size
    except OSError as error:
        raise InputError(f"{path} is not a whole image ({error}): copy it again") from error


def fingerprint(root: Path, paths: list[Path]) -> str:
    """A SHA-256 over the names below ``root``, sizes and modification times of ``paths``."""
    digest = hashlib.sha256()
    for path in paths:
        about = path.stat()
        digest.update(f"{path.relative_to(root).as_posix()} {about.st_size} {about.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _read_boxes_of(paths: Iterable[Path], box_paths: list[Path]) -> list[BoxedImage]:
    box_files = {path.stem: path for path in box_paths}
    images = []
    for path in paths:
        box_file = box_files.get(path.stem)
        size, boxes, names = read_boxes(box_file) if box_file else ((0, 0), [], [])
        if boxes:
            images.append(BoxedImage(path, size if min(size) > 0 else _file_size(path), tuple(boxes), tuple(names)))
    return images


def _save_index(path: Path, root: Path, mark: str, images: list[BoxedImage]) -> None:
    entries = [{**asdict(image), "path": image.path.relative_to(root).as_posix()} for image in images]
    write_text(path, json.dumps({"version": INDEX_VERSION, "fingerprint": mark, "images": entries}))


def _load_index(path: Path, root: Path, mark: str) -> list[BoxedImage] | None:
    """The list kept at ``path``, or None where there is none for this fingerprint or it cannot be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if (found["version"], found["fingerprint"]) != (INDEX_VERSION, mark):
            return None
        return [
            BoxedImage(root / e["path"], tuple(e["size"]), tuple(map(tuple, e["boxes"])), tuple(e["names"]))
            for e in found["images"]
        ]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def read_split(root: Path, split: str, progress: bool = False, cache: str | os.PathLike[str] | None = None) -> Split:
    """The boxed images of ``split`` (``train`` or ``val``); ``root`` is what :func:`find_root` returned.

    An image and its box file share their name; sub-folders on either side do not matter. Images without
    a box file, or without a box in it, are left out and counted. Boxes are kept in the pixels of the size
    in the box file; where it gives none, they are taken to refer to the image file.

    With a folder ``cache`` the list is kept there under its fingerprint, and read from there the next time: half a
    million box files take minutes. A changed, added or removed file changes the fingerprint.
    """
    image_folder = _first_folder(root, IMAGE_FOLDERS, split, "images")
    paths = _files(image_folder, IMAGE_SUFFIXES)
    if not paths:
        raise InputError(f"no images in {image_folder}: unpack the {split} split there, one folder a class")
    box_folder = _first_folder(root, BOX_FOLDERS, split, "box files (XML)")
    box_paths = _files(box_folder, {".xml"})
    mark = fingerprint(root, paths + box_paths)
    kept = Path(cache) / f"boxes-{split}-{mark[:16]}.json" if cache else None
    images = _load_index(kept, root, mark) if kept else None
    if images is None:
        images = _read_boxes_of(tqdm(paths, f"boxes of {split}", unit="image", disable=not progress), box_paths)
        if kept:
            _save_index(kept, root, mark, images)
    if not images:
        raise InputError(
            f"none of the {len(paths)} images in {image_folder} has a box in {box_folder}: names must agree"
        )
    return Split(tuple(images), len(paths) - len(images), mark)
