"""A miniature of the user's own COCO: the same images for everybody who has the same annotation files.

The rule. Images with at least one object that is no crowd stand in the order of the SHA-256 of their id written in
decimal. Categories, in the order of their ids, take turns: one that no chosen image shows yet takes the first image
of the order that shows it. The first images of the order not taken yet fill up the number. Nothing else is looked at:
not the order in the file, not the operating system, not what is on the disk.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

from benchmarks.coco.dataset import CocoRoot, open_coco
from benchmarks.errors import InputError
from benchmarks.files import atomic_folder

#: Images of each split; the 80 categories of COCO 2017 are all in both.
IMAGES = {"train": 200, "val": 100}


def choose(content: dict[str, Any], number: int) -> list[int]:
    """The ids of ``number`` images of an annotation file, or of all that have objects; in ascending order."""
    shown: dict[int, set[int]] = {}
    for annotation in content["annotations"]:
        if not annotation.get("iscrowd"):
            shown.setdefault(annotation["image_id"], set()).add(annotation["category_id"])
    order = sorted(shown, key=lambda image: (hashlib.sha256(str(image).encode()).hexdigest(), image))
    chosen: dict[int, None] = {}
    covered: set[int] = set()
    for category in sorted({c for categories in shown.values() for c in categories}):
        if category not in covered and len(chosen) < number:
            image = next(image for image in order if category in shown[image])
            chosen[image] = None
            covered |= shown[image]
    for image in order:
        if len(chosen) >= number:
            break
        chosen.setdefault(image)
    return sorted(chosen)


def cut(root: str | os.PathLike[str], out: str | os.PathLike[str]) -> dict[str, Any]:
    """Write the miniature of the COCO at ``root`` to ``out/coco``: hard links to the images, or copies.

    Returns what was chosen: images, annotations and categories of each split, and the SHA-256 of the list of ids.
    :class:`InputError` for a COCO that is not sound, and when ``out/coco`` is there already.
    """
    data, target = open_coco(root), Path(out) / "coco"
    if target.exists():
        raise InputError(f"{target} is there already: remove it, or choose another --out")
    try:
        with atomic_folder(target) as temporary:
            facts = {split: _cut_split(data, temporary, split) for split in IMAGES}
    except OSError as error:
        raise InputError(f"{out} cannot be written to ({error.strerror}): choose another --out") from error
    return {"folder": str(target), **facts}


def _cut_split(data: CocoRoot, target: Path, split: str) -> dict[str, Any]:
    content = dict(data.content(split))
    ids = choose(content, IMAGES[split])
    keep = set(ids)
    content["images"] = sorted((i for i in content["images"] if i["id"] in keep), key=lambda image: image["id"])
    content["annotations"] = sorted(
        (a for a in content["annotations"] if a["image_id"] in keep), key=lambda annotation: annotation["id"]
    )
    folder = target / f"{split}2017"
    (target / "annotations").mkdir(exist_ok=True)
    for number, image in enumerate(content["images"]):
        name = Path(image["file_name"])
        if ".." in name.parts:
            raise InputError(f"{data.annotations(split)} has the file name {str(name)!r}: a plain name is needed")
        if name.is_absolute():  # found elsewhere than the file says
            name = Path(f"{image['id']}{name.suffix}")
            content["images"][number] = {**image, "file_name": name.name}
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        source = data.path / f"{split}2017" / image["file_name"]
        try:
            os.link(source, folder / name)
        except OSError:  # another file system, or one without links
            shutil.copyfile(source, folder / name)
    text = json.dumps(content, sort_keys=True)
    (target / "annotations" / f"instances_{split}2017.json").write_text(text, encoding="utf-8")
    return {
        "images": len(ids),
        "annotations": len(content["annotations"]),
        "categories shown": len({annotation["category_id"] for annotation in content["annotations"]}),
        "ids_sha256": hashlib.sha256(json.dumps(ids).encode()).hexdigest(),
    }
