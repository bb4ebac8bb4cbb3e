"""The COCO layout, checked before a run reads it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.errors import InputError
from benchmarks.files import read_json, require_folder

#: Pixels by which a polygon may leave its image; official ones touch the border at most.
SLACK = 1.0
#: Images of COCO 2017.
OFFICIAL = {"train": 118_287, "val": 5_000}


@dataclass(frozen=True)
class CocoRoot:
    """A folder with ``annotations/``, ``train2017/`` and ``val2017/``, and its category names in file order."""

    path: Path
    classes: tuple[str, ...]
    train_images: int
    val_images: int
    annotated_images: int = 0  # of the training images, those with an object that is no crowd
    files: tuple[Path, ...] = ()  # every image that is listed

    def annotations(self, split: str) -> Path:
        return self.path / "annotations" / f"instances_{split}2017.json"

    def require_whole(self) -> None:
        """:class:`InputError` unless this is all of COCO 2017."""
        for split, there in (("train", self.train_images), ("val", self.val_images)):
            if there != OFFICIAL[split]:
                raise InputError(
                    f"{self.annotations(split)} lists {there} images, COCO 2017 has {OFFICIAL[split]}: scale paper "
                    "takes all of it, --scale mini takes any data in this layout"
                )


def open_coco(root: str | os.PathLike[str]) -> CocoRoot:
    """Find and check a COCO-format data set at ``root`` or ``root/coco``; :class:`InputError` names the fault."""
    root = require_folder(root, "COCO folder")
    path = root / "coco" if (root / "coco").is_dir() else root
    counts, names, annotated = {}, {}, 0
    files: list[Path] = []
    for split in ("train", "val"):
        file = path / "annotations" / f"instances_{split}2017.json"
        if not file.is_file():
            raise InputError(f"{path} has no annotations/{file.name}: point to a folder in COCO's layout")
        data = read_json(file, "COCO annotation file")
        if not isinstance(data, dict) or not all(
            isinstance(data.get(k), list) for k in ("images", "annotations", "categories")
        ):
            raise InputError(f"{file} lacks images, annotations or categories: it is no COCO instance file")
        if not data["categories"]:
            raise InputError(f"{file} lists no categories: give it the list of classes")
        if not data["images"] or not data["annotations"]:
            raise InputError(
                f"{file} lists no images or no annotations: nothing to {'train on' if split == 'train' else 'score'}"
            )
        try:
            _check(file, data)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise InputError(f"{file} has an entry that COCO has not ({error!r}): repair or remove it") from error
        folder = path / f"{split}2017"
        missing = [image["file_name"] for image in data["images"] if not (folder / image["file_name"]).is_file()]
        if missing:
            raise InputError(
                f"{len(missing)} of {len(data['images'])} images of {file} are not in {folder}, such as {missing[0]}"
            )
        counts[split] = len(data["images"])
        files += [folder / image["file_name"] for image in data["images"]]
        names[split] = tuple(category["name"] for category in data["categories"])
        if split == "train":
            annotated = len({a["image_id"] for a in data["annotations"] if not a.get("iscrowd")})
    if names["train"] != names["val"]:
        raise InputError(f"{path}: the train and val annotation files list different categories")
    return CocoRoot(path, names["train"], counts["train"], counts["val"], annotated, tuple(files))


def _check(file: Path, data: dict[str, Any]) -> None:
    """Every annotation has an image and a category that are listed, and a mask inside its image."""
    images = {image["id"]: image for image in data["images"]}
    categories = {category["id"] for category in data["categories"]}
    names = {category["name"] for category in data["categories"]}
    for what, found, entries in (
        ("image ids", images, data["images"]),
        ("category ids", categories, data["categories"]),
        ("category names", names, data["categories"]),
    ):
        if len(found) != len(entries):
            raise InputError(f"{file}: {len(entries) - len(found)} {what} are there twice: make them unique")
    for annotation in data["annotations"]:
        image = images.get(annotation["image_id"])
        if image is None:
            raise InputError(
                f"{file}: annotation {annotation['id']} is for image {annotation['image_id']}, which is not listed: "
                "list the image or remove the annotation"
            )
        if annotation["category_id"] not in categories:
            raise InputError(
                f"{file}: annotation {annotation['id']} is of category {annotation['category_id']}, which is not "
                "listed: correct the id or list the category"
            )
        fault = _mask_fault(annotation, image)
        if fault:
            raise InputError(f"{file}: the mask of annotation {annotation['id']} {fault}: correct or remove it")


def _mask_fault(annotation: dict[str, Any], image: dict[str, Any]) -> str | None:
    mask, height, width = annotation["segmentation"], image["height"], image["width"]
    if isinstance(mask, dict):
        there = tuple(mask["size"])
        return None if there == (height, width) else f"is {there[1]}x{there[0]}, its image is {width}x{height}"
    if not mask or any(len(polygon) < 6 or len(polygon) % 2 for polygon in mask):
        return "is no polygon of three points or more"
    low = min(min(polygon) for polygon in mask)
    right, bottom = (max(max(polygon[axis::2]) for polygon in mask) for axis in (0, 1))
    if low < -SLACK or right > width + SLACK or bottom > height + SLACK:
        return f"leaves its image of {width}x{height} pixels"
    return None
