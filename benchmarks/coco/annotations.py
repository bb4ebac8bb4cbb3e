"""The rule book of COCO's instance files: what a file means to mmdet, detectron2 and pycocotools, or why to none.

:func:`normalise` looks at every key that one of the three will touch. What follows from the rest of the file is
completed (``iscrowd`` 0, ``area`` of the mask, ``bbox`` around it, a ``file_name`` from ``coco_url``), ids of any kind
become integers, masks without a pixel are dropped; all of it is counted and said. What cannot be known is a fault, and
all faults are reported together. A sound file comes out as it went in, to the bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from benchmarks.coco.findings import Findings
from benchmarks.coco.listed import read_categories, read_images
from benchmarks.coco.objects import Objects
from benchmarks.coco.usable import require_objects
from benchmarks.errors import InputError

KEYS = ("images", "annotations", "categories")


@dataclass(frozen=True)
class Annotations:
    """An annotation file as engines and pycocotools read it; ``images`` and ``categories``: own id -> integer there."""

    content: dict[str, Any]
    images: dict[Any, int]
    categories: dict[Any, int]
    changed: bool  # content is not what the file says
    notes: tuple[str, ...]  # what was completed, dropped, or will train nothing; a line each

    def own_ids(self, detections: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Detections with the file's own ids in place of the engines'."""
        if not self.changed:
            return detections
        images = {number: own for own, number in self.images.items()}
        categories = {number: own for own, number in self.categories.items()}
        return _renamed(detections, images, categories)

    def engine_ids(self, detections: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Detections with the engines' ids in place of the file's own."""
        return _renamed(detections, self.images, self.categories) if self.changed else detections


def _renamed(detections: list[dict[str, Any]], images: dict, categories: dict) -> list[dict[str, Any]]:
    return [{**d, "image_id": images[d["image_id"]], "category_id": categories[d["category_id"]]} for d in detections]


def normalise(
    content: Any, where: str, training: bool = False, masks_needed: bool = True, files_needed: bool = True
) -> Annotations:
    """Apply all rules to the content of a file, which is changed in place; ``where`` names the file in messages.

    For ``training`` objects marked ``ignore`` are dropped, and a file with no object to learn from is refused. Without
    ``masks_needed`` annotations may have boxes alone; without ``files_needed`` images need no picture.
    :class:`InputError` reports all faults of the file in one line.
    """
    require_shape(content, where, training)
    findings = Findings(where)
    categories, new_categories = read_categories(content, findings)
    sizes, images, new_images = read_images(content["images"], findings, files_needed)
    objects = Objects(content["annotations"], findings)
    objects.judge(sizes, categories, masks_needed)
    findings.end_on_faults()
    content["annotations"], new_objects = objects.repair(images, categories, training)
    if not content["annotations"]:
        raise InputError(f"{where}: of {len(objects.entries)} annotations none is left ({'; '.join(findings.notes)})")
    notes = list(findings.notes)
    if "not_exhaustive_category_ids" in content["images"][0] or "neg_category_ids" in content["images"][0]:
        notes.append("this is LVIS, which is not annotated exhaustively: COCO's score, given here, is not LVIS's own")
    if training:
        notes += require_objects(content, where, len(objects.entries) - len(content["annotations"]))
    return Annotations(content, images, categories, new_images or new_categories or new_objects, tuple(notes))


def require_shape(content: Any, where: str, training: bool) -> None:
    """:class:`InputError` unless this is an instance file in which something is listed."""
    if not isinstance(content, dict) or not all(isinstance(content.get(key), list) for key in KEYS):
        raise InputError(f"{where} lacks images, annotations or categories: it is no COCO instance file")
    if not content["categories"]:
        raise InputError(f"{where} lists no categories: give it the list of classes")
    if not content["images"] or not content["annotations"]:
        raise InputError(f"{where} lists no images or no annotations: nothing to {'train on' if training else 'score'}")
    for key in KEYS:
        if set(map(type, content[key])) != {dict}:
            wrong = [f"no. {i + 1}" for i, entry in enumerate(content[key]) if type(entry) is not dict]
            raise InputError(
                f"{where}: {len(wrong)} of {len(content[key])} entries of {key} have no keys "
                f"({', '.join(wrong[:3])}): correct or remove them"
            )
