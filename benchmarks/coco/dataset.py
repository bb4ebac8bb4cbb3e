"""The COCO layout, opened once and by one rule book: for the check, the plan, the training and the score."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.coco.annotations import Annotations
from benchmarks.coco.findings import count, first
from benchmarks.coco.locate import locate
from benchmarks.coco.reading import Listing, listing_of, read_annotations, read_listing
from benchmarks.errors import InputError
from benchmarks.files import atomic_path, require_folder

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
    notes: tuple[str, ...] = ()  # what was completed, dropped, or will train nothing; a line each
    #: Splits whose file no engine should read, as engines can read them.
    rewritten: Mapping[str, Annotations] = field(default_factory=dict, compare=False, repr=False)
    listings: Mapping[str, Listing] = field(default_factory=dict, compare=False, repr=False)

    def annotations(self, split: str) -> Path:
        """The user's own file, by which data is identified and results are named."""
        return self.path / "annotations" / f"instances_{split}2017.json"

    @property
    def files(self) -> tuple[str, ...]:
        """Every picture that is listed. Text, for as paths 123,287 take seconds."""
        folders = {split: os.path.join(self.path, f"{split}2017") for split in self.listings}
        return tuple(os.path.join(folders[split], name) for split, own in self.listings.items() for name in own.names)

    def engine_file(self, split: str, folder: str | os.PathLike[str]) -> Path:
        """The file for an engine: the user's own if it is sound, else a rewritten one in ``folder``."""
        if split not in self.rewritten:
            return self.annotations(split)
        # What no engine reads may hold NaN, which their JSON reader takes; what they read was looked at.
        text = json.dumps(self.rewritten[split].content).encode()
        target = Path(folder) / f"instances_{split}2017-{hashlib.sha256(text).hexdigest()[:12]}.json"
        if not target.is_file():
            with atomic_path(target) as temporary:
                temporary.write_bytes(text)
        return target

    def content(self, split: str) -> dict[str, Any]:
        """The annotations of a split as engines read them; the file is read again."""
        if split in self.rewritten:
            return self.rewritten[split].content
        return read_annotations(self.annotations(split), split == "train").content

    def own_ids(self, detections: list[dict[str, Any]], split: str = "val") -> list[dict[str, Any]]:
        """An engine's detections with the ids of the user's file."""
        return self.rewritten[split].own_ids(detections) if split in self.rewritten else detections

    def require_whole(self) -> None:
        """:class:`InputError` unless this is all of COCO 2017."""
        for split, there in (("train", self.train_images), ("val", self.val_images)):
            if there != OFFICIAL[split]:
                raise InputError(
                    f"{self.annotations(split)} lists {there} images, COCO 2017 has {OFFICIAL[split]}: scale paper "
                    "takes all of it, --scale mini takes any data in this layout"
                )


def find_coco(root: str | os.PathLike[str]) -> Path:
    """``root/coco`` if it is there, else ``root``."""
    root = require_folder(root, "COCO folder")
    return root / "coco" if (root / "coco").is_dir() else root


def open_coco(root: str | os.PathLike[str]) -> CocoRoot:
    """Find and check a COCO-format data set at ``root`` or ``root/coco``; :class:`InputError` names what is wrong.

    A sound file that did not change since it was opened is not read again.
    """
    path = find_coco(root)
    listings: dict[str, Listing] = {}
    rewritten: dict[str, Annotations] = {}
    faults = []
    for split in ("train", "val"):
        try:
            listings[split], again = _open_split(path, split)
        except InputError as error:
            faults.append(str(error))
            continue
        if again:
            rewritten[split] = again
    if faults:
        raise InputError("; and ".join(faults))
    train, val = listings["train"], listings["val"]
    names = {split: [name for _, name in listing.categories] for split, listing in listings.items()}
    if set(names["train"]) != set(names["val"]):
        odd = {s: [n for n in names[s] if n not in names[o]] for s, o in (("train", "val"), ("val", "train"))}
        raise InputError(
            f"{path}: the train and val annotation files list different categories (only train: "
            f"{first(odd['train']) or 'none'}; only val: {first(odd['val']) or 'none'}): list the same in both"
        )
    notes = [f"{split}2017: {note}" for split, listing in listings.items() for note in listing.notes]
    if train.categories != val.categories:
        found = rewritten.get("val") or read_annotations(_file(path, "val"))
        rewritten["val"] = _with_categories(found, train.categories)
        notes.append("val2017: categories have other ids or another order than in train2017: matched by their names")
    untaught = [name for _, name in train.categories if name in val.shown - train.shown]
    if untaught:
        text = "with objects in val2017 and none in train2017: each will score 0"
        notes.append(f"{count(len(untaught), 'category')} {text} ({first(untaught)})")
    return CocoRoot(
        path,
        tuple(name for _, name in train.categories),
        len(train.names),
        len(val.names),
        train.annotated,
        tuple(notes),
        rewritten,
        listings,
    )


def open_validation(root: str | os.PathLike[str]) -> CocoRoot:
    """The validation split alone, for what is scored and not trained; errors as :func:`open_coco`'s."""
    path = find_coco(root)
    listing, again = _open_split(path, "val")
    notes = tuple(f"val2017: {note}" for note in listing.notes)
    classes = tuple(name for _, name in listing.categories)
    rewritten = {"val": again} if again else {}
    return CocoRoot(path, classes, 0, len(listing.names), 0, notes, rewritten, {"val": listing})


def _file(path: Path, split: str) -> Path:
    return path / "annotations" / f"instances_{split}2017.json"


def _open_split(path: Path, split: str) -> tuple[Listing, Annotations | None]:
    """A split's listing and, if engines should not read the file, what they should read."""
    file, folder = _file(path, split), path / f"{split}2017"
    if not file.is_file():
        raise InputError(f"{path} has no annotations/{file.name}: point to a folder in COCO's layout")
    listing = read_listing(file, split == "train")
    elsewhere, missing = locate(listing.names, folder, path)
    if missing:
        raise InputError(
            f"{len(missing)} of {len(listing.names)} images of {file} are not in {folder}, such as {first(missing)}"
        )
    if not listing.changed and not elsewhere:
        return listing, None
    found = read_annotations(file, split == "train")
    if elsewhere:
        for image in found.content["images"]:
            image["file_name"] = elsewhere.get(image["file_name"], image["file_name"])
        example = next(iter(elsewhere.items()))
        note = f"{count(len(elsewhere), 'picture')} not at the path in {folder.name}/, such as {': '.join(example)}"
        found = dataclasses.replace(found, changed=True, notes=(*found.notes, note))
    return listing_of(found), found


def _with_categories(found: Annotations, wanted: tuple[tuple[int, str], ...]) -> Annotations:
    """Annotations whose categories have the ids and the order of ``wanted``, matched by name."""
    ids, content = {name: number for number, name in wanted}, found.content
    own = {category["id"]: ids[category["name"]] for category in content["categories"]}
    by_name = {category["name"]: category for category in content["categories"]}
    categories = [{**by_name[name], "id": number} for number, name in wanted]
    annotations = [{**a, "category_id": own[a["category_id"]]} for a in content["annotations"]]
    return dataclasses.replace(
        found,
        content={**content, "categories": categories, "annotations": annotations},
        categories={value: own[number] for value, number in found.categories.items()},
        changed=True,
    )
