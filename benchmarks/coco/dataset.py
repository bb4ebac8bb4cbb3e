"""The COCO layout, checked before a run reads it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from benchmarks.errors import InputError
from benchmarks.files import read_json, require_folder


@dataclass(frozen=True)
class CocoRoot:
    """A folder with ``annotations/``, ``train2017/`` and ``val2017/``, and its category names in file order."""

    path: Path
    classes: tuple[str, ...]
    train_images: int
    val_images: int

    def annotations(self, split: str) -> Path:
        return self.path / "annotations" / f"instances_{split}2017.json"


def open_coco(root: str | os.PathLike[str]) -> CocoRoot:
    """Find and check a COCO-format data set at ``root`` or ``root/coco``; :class:`InputError` names the fault."""
    root = require_folder(root, "COCO folder")
    path = root / "coco" if (root / "coco").is_dir() else root
    counts, names = {}, {}
    for split in ("train", "val"):
        file = path / "annotations" / f"instances_{split}2017.json"
        if not file.is_file():
            raise InputError(f"{path} has no annotations/{file.name}: point to a folder in COCO's layout")
        data = read_json(file, "COCO annotation file")
        if not isinstance(data, dict) or not all(
            isinstance(data.get(k), list) for k in ("images", "annotations", "categories")
        ):
            raise InputError(f"{file} lacks images, annotations or categories: it is no COCO instance file")
        if not data["images"] or not data["annotations"]:
            raise InputError(
                f"{file} lists no images or no annotations: nothing to {'train on' if split == 'train' else 'score'}"
            )
        folder = path / f"{split}2017"
        missing = [image["file_name"] for image in data["images"] if not (folder / image["file_name"]).is_file()]
        if missing:
            raise InputError(
                f"{len(missing)} of {len(data['images'])} images of {file} are not in {folder}, such as {missing[0]}"
            )
        counts[split] = len(data["images"])
        names[split] = tuple(category["name"] for category in data["categories"])
    if names["train"] != names["val"]:
        raise InputError(f"{path}: the train and val annotation files list different categories")
    return CocoRoot(path, names["train"], counts["train"], counts["val"])
