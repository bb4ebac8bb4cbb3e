"""A few images of a COCO folder as a data set of their own, for training and scoring on the same."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from benchmarks.coco.dataset import CocoRoot, open_coco
from benchmarks.errors import InputError
from benchmarks.files import write_json


def choose_images(data: CocoRoot, count: int, fewest: int = 2, most: int = 8) -> list[int]:
    """The first ``count`` validation images by id that have ``fewest`` to ``most`` objects, none of them a crowd."""
    content = data.content("val")
    objects: dict[int, list[bool]] = {image["id"]: [] for image in content["images"]}
    for annotation in content["annotations"]:
        objects[annotation["image_id"]].append(bool(annotation.get("iscrowd")))
    found = [image for image in sorted(objects) if fewest <= len(objects[image]) <= most and not any(objects[image])]
    if count < 1 or len(found) < count:
        raise InputError(
            f"{data.annotations('val')} has {len(found)} images with {fewest} to {most} objects, {count} are asked for"
        )
    return found[:count]


def write_subset(data: CocoRoot, images: list[int], out: str | os.PathLike[str]) -> CocoRoot:
    """Write the validation ``images`` with their annotations as both splits of a COCO folder ``out`` and open it.

    All categories stay listed. :class:`InputError` for an image that is not there.
    """
    content, out = data.content("val"), Path(out)
    entries = [image for image in content["images"] if image["id"] in images]
    missing = set(images) - {image["id"] for image in entries}
    if missing:
        raise InputError(f"{data.annotations('val')} lists no image {min(missing)}: choose others")
    kept = [annotation for annotation in content["annotations"] if annotation["image_id"] in images]
    for split in ("train", "val"):
        folder = out / f"{split}2017"
        listed = [{**image, "file_name": f"{image['id']}{Path(image['file_name']).suffix}"} for image in entries]
        folder.mkdir(parents=True, exist_ok=True)
        for image, copy in zip(entries, listed, strict=True):
            shutil.copyfile(data.path / "val2017" / image["file_name"], folder / copy["file_name"])
        subset = {"images": listed, "annotations": kept, "categories": content["categories"]}
        write_json(out / "annotations" / f"instances_{split}2017.json", subset)
    return open_coco(out)
