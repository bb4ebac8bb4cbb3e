"""An annotation file read once: parsed, put through the rule book, and what is to be kept of it."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.coco.annotations import Annotations, normalise
from benchmarks.core.data import cache_folder
from benchmarks.errors import InputError
from benchmarks.files import no_collection, require_file, write_text


@dataclass(frozen=True)
class Listing:
    """What an annotation file lists, for those who need no objects."""

    names: tuple[str, ...]  # file names, in the order of the file
    sizes: tuple[tuple[int, int], ...]  # their heights and widths
    categories: tuple[tuple[int, str], ...]  # ids and names, in the order of the file
    objects: int  # with crowds
    crowds: int
    annotated: int  # images with an object that is no crowd
    shown: frozenset[str]  # names of the categories of such objects
    changed: bool  # engines must not read the file itself
    notes: tuple[str, ...]


#: Sound files that were read: by path and purpose, with what tells that a file is still the same.
_READ: dict[tuple[str, bool], tuple[tuple[int, ...], Listing]] = {}


def read_annotations(
    file: str | os.PathLike[str], training: bool = False, masks_needed: bool = True, files_needed: bool = True
) -> Annotations:
    """A file as :func:`benchmarks.coco.annotations.normalise` gives it; :class:`InputError` where it cannot be used."""
    with no_collection():
        content, plain = read_content(file)
        found = normalise(content, str(file), training, masks_needed, files_needed)
    return found if plain else dataclasses.replace(found, changed=True)


def read_content(file: str | os.PathLike[str]) -> tuple[Any, bool]:
    """The content of a JSON file in any of Unicode's encodings, and whether it is plain UTF-8, which engines need."""
    raw = require_file(file, "COCO file").read_bytes()
    try:
        return json.loads(raw), json.detect_encoding(raw) == "utf-8"
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file} is not valid JSON ({error}): is this the COCO file?") from error


def read_listing(file: Path, training: bool) -> Listing:
    """What ``file`` lists. A sound file that is still the same is not read again, by this process or another."""
    key, before = (str(file.resolve()), training), _mark(require_file(file, "COCO annotation file"))
    if key in _READ and _READ[key][0] == before:
        return _READ[key][1]
    kept = _kept(key)
    found = _listing_at(kept, before)
    if found is None:
        with no_collection():
            found = listing_of(read_annotations(file, training))
        # A file that was written just now can change again without showing it in its time.
        if found.changed or time.time_ns() - before[0] <= 2_000_000_000 or _mark(file) != before:
            return found
        content = {**dataclasses.asdict(found), "shown": sorted(found.shown)}
        with contextlib.suppress(OSError, InputError):  # a place that cannot be written costs time, not the result
            write_text(kept, json.dumps({"mark": before, "listing": content}))
    _READ[key] = (before, found)
    return found


def _kept(key: tuple[str, bool]) -> Path:
    """Where a listing is kept between processes: by the file, its purpose, and the rules it was read by."""
    name = hashlib.sha256(f"{key} {_rules()}".encode()).hexdigest()[:20]
    return cache_folder() / "coco" / f"{name}.json"


@functools.cache
def _rules() -> str:
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _listing_at(path: Path, mark: tuple[int, ...]) -> Listing | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        found = content["listing"]
        if tuple(content["mark"]) != mark:
            return None
        pairs = {name: tuple(map(tuple, found[name])) for name in ("sizes", "categories")}
        plain = {name: tuple(found[name]) for name in ("names", "notes")}
        return Listing(**{**found, **pairs, **plain, "shown": frozenset(found["shown"])})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def listing_of(found: Annotations) -> Listing:
    """The listing of annotations that were read."""
    images, objects = found.content["images"], found.content["annotations"]
    names = {category["id"]: category["name"] for category in found.content["categories"]}
    return Listing(
        tuple(image["file_name"] for image in images),
        tuple((image["height"], image["width"]) for image in images),
        tuple(names.items()),
        len(objects),
        sum(a["iscrowd"] for a in objects),
        len({a["image_id"] for a in objects if not a["iscrowd"]}),
        frozenset(names[number] for number in {a["category_id"] for a in objects if not a["iscrowd"]}),
        found.changed,
        found.notes,
    )


def _mark(file: Path) -> tuple[int, ...]:
    about = file.stat()
    return about.st_mtime_ns, about.st_size, about.st_ino, about.st_dev
