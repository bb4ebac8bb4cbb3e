"""The rules for what an annotation file lists: images and categories."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np

from benchmarks.coco.findings import Findings
from benchmarks.coco.identity import engine_ids, is_id

#: Sides of pictures are below this.
LARGEST = 2**31
Sizes = dict[Any, tuple[float, float]]


def read_images(
    images: list[dict[str, Any]], findings: Findings, files_needed: bool
) -> tuple[Sizes, dict[Any, int], bool]:
    """By the images' own ids their heights and widths (NaN: not known) and their integers; whether any was changed."""
    ids = [image.get("id") for image in images]
    numbers = engine_ids(ids, "image", findings)
    sizes = _sizes(images, ids, findings)
    sides = {own: _side(image) for own, image in zip(ids, images, strict=True) if is_id(own)}
    names = _file_names(images, ids, findings) if files_needed else False
    renumbered = needs_numbers(ids, numbers)
    if renumbered and not findings.faults:
        for image in images:
            image["id"] = numbers[image["id"]]
    return sides, numbers, sizes or names or renumbered


def _side(image: dict[str, Any]) -> tuple[float, float]:
    size: tuple[Any, Any] = (image.get("height"), image.get("width"))
    return size if all(type(side) is int and 0 < side < LARGEST for side in size) else (math.nan, math.nan)


def sides_of(images: Sequence[Any], sizes: Sizes) -> tuple[np.ndarray, np.ndarray]:
    """Heights and widths, float64 ``[N]``, of the ``images`` of N annotations; NaN for None."""
    places = {own: place for place, own in enumerate(sizes)} | {None: len(sizes)}
    table = np.array([*sizes.values(), (math.nan, math.nan)], np.float64)
    heights, widths = table[np.fromiter(map(places.__getitem__, images), np.int64, len(images))].T.copy()
    return heights, widths


def needs_numbers(used: list[Any], numbers: dict[Any, int]) -> bool:
    """Whether ids that are ``used`` differ, also by type, from the integers that stand for them."""
    return set(map(type, used)) != {int} or any(own != number for own, number in numbers.items())


def _sizes(images: list[dict[str, Any]], ids: list[Any], findings: Findings) -> bool:
    changed, faulty = False, []
    for image, own in zip(images, ids, strict=True):
        for key in ("width", "height"):
            value = image.get(key)
            if type(value) is float and value.is_integer():
                image[key] = value = int(value)
                changed = True
            if type(value) is not int or not 0 < value < LARGEST:
                faulty.append(own)
                break
    findings.refuse(faulty, "image", "without width and height as whole numbers above 0", "write the picture's size")
    return changed


def _file_names(images: list[dict[str, Any]], ids: list[Any], findings: Findings) -> bool:
    """LVIS has no ``file_name``; there the end of ``coco_url`` is folder and name in COCO, whichever split it is of."""
    nameless, completed = [], []
    for image, own in zip(images, ids, strict=True):
        name = image.get("file_name")
        if _is_text(name):
            continue
        url = image.get("coco_url")
        parts = unquote(urlsplit(url).path).split("/") if type(url) is str else []
        if name is None and len(parts) > 1 and parts[-1]:
            image["file_name"] = "/".join(parts[-2:])
            completed.append(own)
        else:
            nameless.append(own)
    remedy = "give each image the path of its picture within the split's folder"
    findings.refuse(nameless, "image", "without a usable file_name or coco_url", remedy)
    findings.say(completed, "image", "without file_name: coco_url's is taken")
    names = [str(image.get("file_name")) for image in images]
    if len(set(names)) < len(names):
        firsts = {name: place for place, name in reversed(list(enumerate(names)))}
        again = [own for place, (own, name) in enumerate(zip(ids, names, strict=True)) if firsts[name] != place]
        findings.say(again, "image", "with the picture of another: it counts more than once")
    return bool(completed)


def _is_text(value: Any) -> bool:
    """Whether a name can be written: JSON can hold halves of surrogate pairs, which no file or terminal takes."""
    return type(value) is str and bool(value.strip()) and value.encode("utf-8", "ignore").decode("utf-8") == value


def read_categories(content: dict[str, Any], findings: Findings) -> tuple[dict[Any, int], bool]:
    """The categories' own ids and their integers, and whether entries were changed.

    Of categories with the same name those that no annotation uses are dropped: Roboflow adds one with the project's
    name.
    """
    categories = content["categories"]
    nameless = [c.get("id") for c in categories if not _is_text(c.get("name"))]
    findings.refuse(nameless, "category", "without a name", "give each a name")
    times = Counter(str(c.get("name")) for c in categories)
    if max(times.values()) > 1:
        used = {a.get("category_id") for a in content["annotations"] if is_id(a.get("category_id"))}
        spare = [c for c in categories if times[str(c.get("name"))] > 1 and is_id(c.get("id")) and c["id"] not in used]
        kept = [c for c in categories if not any(c is other for other in spare)]
        still = [name for name, number in Counter(str(c.get("name")) for c in kept).items() if number > 1]
        if {str(c.get("name")) for c in kept} != set(times):
            still = [name for name, number in times.items() if number > 1]
        findings.refuse(still, "category name", "there twice", "make them unique", "such as")
        if not still:
            names = [c["name"] for c in spare]
            findings.say(names, "category", "dropped: not used, and of the name of another", "such as")
            categories = content["categories"] = kept
    ids = [c.get("id") for c in categories]
    numbers = engine_ids(ids, "category", findings)
    renumbered = needs_numbers(ids, numbers)
    if renumbered and not findings.faults:
        for category in categories:
            category["id"] = numbers[category["id"]]
    return numbers, renumbered or max(times.values()) > 1
