"""Why a score is zero, or lower than it need be: what in the detections can never match, a line each."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
from pycocotools import mask as rle

from benchmarks.coco import boxes as box_rules
from benchmarks.coco.findings import count, first

#: Percent of AP50 below which the boxes are read in other ways, too.
LOW = 5.0
#: Overlap from which on a box is on an object.
OVERLAP = 0.5


def explain(content: dict[str, Any], detections: list[dict[str, Any]], ap50: float | None) -> list[str]:
    """Lines on ``detections`` (ids of ``content``, rules applied) of which AP50, in percent, is ``ap50``."""
    if not detections:
        return ["there are no detections: whatever is to be found scores 0"]
    names = {category["id"]: category["name"] for category in content["categories"]}
    truths = [a for a in content["annotations"] if not a["iscrowd"]]
    asked, given = ({entry["category_id"] for entry in entries} for entries in (truths, detections))
    lines = []
    if unseen := [name for number, name in names.items() if number in asked - given]:
        lines.append(f"{count(len(unseen), 'category')} with objects but no detection, each scores 0: {first(unseen)}")
    if spare := [name for number, name in names.items() if number in given - asked]:
        number = sum(d["category_id"] not in asked for d in detections)
        lines.append(
            f"{count(number, 'detection')} of {count(len(spare), 'category')} without objects count for nothing: "
            f"{first(spare)}"
        )
    pictures, looked = {a["image_id"] for a in truths}, {d["image_id"] for d in detections}
    if len(pictures - looked) >= 0.1 * len(pictures):
        lines.append(f"{len(pictures - looked):,} of {count(len(pictures), 'image')} with objects have no detection")
    if "bbox" in detections[0]:
        lines += _readings(content, truths, detections, ap50)
    return lines


def _readings(content, truths, detections, ap50: float | None) -> list[str]:
    """What other boxes the numbers could be."""
    sizes = {image["id"]: (image["height"], image["width"]) for image in content["images"]}
    heights, widths = np.array([sizes[d["image_id"]] for d in detections], np.float64).T
    boxes = np.array([d["bbox"] for d in detections], np.float64)
    if boxes.max() <= 1 and boxes.min() >= 0 and widths.max() > 2:
        return ["all boxes lie within 0 to 1: they are parts of the image, COCO's are pixels"]
    beyond = box_rules.outside(boxes, heights, widths)
    corners = box_rules.fit_as_corners(boxes, heights, widths)
    if 2 * np.count_nonzero(beyond & corners) > len(boxes):
        return [_corners(f"{np.count_nonzero(beyond):,} of {len(boxes):,} boxes leave their images")]
    if ap50 is None or ap50 >= LOW:
        return []
    as_corners = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
    as_corners[~corners] = 0
    found, same, turned = _found(truths, detections, boxes, as_corners)
    if turned > 2 * found and turned >= 0.1 * len(truths):
        return [_corners(f"{found:,} of {count(len(truths), 'object')} are met by a box")]
    if 2 * found >= len(truths) and found > 5 * same:
        return [
            f"{found:,} of {count(len(truths), 'object')} are met by a box, {same:,} by one of their category: "
            "are the category ids those of the annotation file?"
        ]
    return []


def _corners(fact: str) -> str:
    return f"{fact}: read as x1, y1, x2, y2 they would fit; COCO's are x, y, width, height"


def _found(truths, detections, boxes: np.ndarray, as_corners: np.ndarray) -> tuple[int, int, int]:
    """Objects met by a box of any category, by one of their own, and by any box read as corners."""
    of_image: dict[int, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    for place, truth in enumerate(truths):
        of_image[truth["image_id"]][0].append(place)
    for place, detection in enumerate(detections):
        of_image[detection["image_id"]][1].append(place)
    found = same = turned = 0
    for objects, said in of_image.values():
        if not objects or not said:
            continue
        real = np.array([truths[i]["bbox"] for i in objects], np.float64)
        met = np.asarray(rle.iou(boxes[said], real, [0] * len(objects))) >= OVERLAP
        alike = np.array([detections[i]["category_id"] for i in said])[:, None] == np.array(
            [truths[i]["category_id"] for i in objects]
        )
        found += np.count_nonzero(met.any(axis=0))
        same += np.count_nonzero((met & alike).any(axis=0))
        turned += np.count_nonzero((np.asarray(rle.iou(as_corners[said], real, [0] * len(objects))) >= OVERLAP).any(0))
    return found, same, turned
