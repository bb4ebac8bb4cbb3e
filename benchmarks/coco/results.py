"""The rules for detections in COCO's results format, whichever program wrote them."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from benchmarks.coco import boxes as box_rules
from benchmarks.coco import masks as mask_rules
from benchmarks.coco.annotations import Annotations
from benchmarks.coco.complete import encoded
from benchmarks.coco.findings import Findings, count, first
from benchmarks.coco.identity import is_finite, is_id
from benchmarks.coco.reading import read_content
from benchmarks.errors import InputError


def read_results(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The detections of a results file; :class:`InputError` where it is none."""
    content, _ = read_content(path)
    if isinstance(content, dict) and {"images", "annotations"} <= content.keys():
        raise InputError(f"{path} is an annotation file: give the detections, a list in COCO's results format")
    if not isinstance(content, list):
        raise InputError(f"{path} is no list of detections: COCO's results format is [{{image_id, category_id, ...}}]")
    return content


def for_engines(
    detections: list[dict[str, Any]], truth: Annotations, truth_name: str, where: str
) -> list[dict[str, Any]]:
    """Detections as pycocotools reads them, with the ids of ``truth.content``; the given ones stay as they are.

    :class:`InputError` reports in one line all that it could not read or would leave out without a word: images and
    categories that the annotations do not list, scores, boxes and masks that are none.
    """
    if wrong := [f"no. {i + 1}" for i, d in enumerate(detections) if type(d) is not dict]:
        raise InputError(f"{where}: {count(len(wrong), 'detection')} without keys ({first(wrong)}): correct them")
    if not detections:
        return []
    findings = Findings(where)
    listed = {"image": truth.images, "category": truth.categories}
    ids = {noun: _ids(detections, noun, listed[noun], truth_name, findings) for noun in listed}
    _refuse_scores([d.get("score") for d in detections], findings)
    found = [dict(d) for d in detections]
    _judge(found, ids["image"], truth, findings)
    findings.end_on_faults()
    for detection, image, category in zip(found, ids["image"], ids["category"], strict=True):
        detection["image_id"], detection["category_id"] = truth.images[image], truth.categories[category]
    return found


def _ids(detections, noun: str, listed: dict[Any, int], truth_name: str, findings: Findings) -> list[Any]:
    """Own ids of images or categories as the annotations write them: 1 and "1" are one where that is no question."""
    used = [d.get(f"{noun}_id") for d in detections]
    if set(map(type, used)) <= {int, str} and not set(used).difference(listed):
        return used
    texts = {str(own): own for own in listed}
    if len(texts) == len(listed):
        used = [own if not is_id(own) or own in listed else texts.get(str(own), own) for own in used]
    lost = [own for own in used if not is_id(own) or own not in listed]
    shown = list(dict.fromkeys(map(str, lost)))
    remedy = f"give the {noun} ids of {truth_name}"
    numbers = [own for own in used if type(own) is int]
    if noun == "category" and numbers and min(numbers) == 0 and max(numbers) < len(listed):
        remedy += f" ({', '.join(map(str, list(listed)[:3]))}, ...); these look like places in the list of classes"
    if lost:
        what = f"{count(len(lost), 'detection')} of {count(len(shown), noun)} not listed ({first(shown)})"
        findings.faults.append(f"{what}: {remedy}")
    return used


def _refuse_scores(scores: list[Any], findings: Findings) -> None:
    wrong = [score for score in scores if not is_finite(score)]
    findings.refuse(wrong, "detection", "whose score is no finite number", "correct the scores", "such as")


def _judge(found: list[dict[str, Any]], images: list[Any], truth: Annotations, findings: Findings) -> None:
    """Boxes and masks; polygons and plain run lengths become compressed ones, which pycocotools can measure."""
    by_number = {image["id"]: (image["height"], image["width"]) for image in truth.content["images"]}
    numbers = [truth.images[own] if is_id(own) and own in truth.images else None for own in images]
    sides = np.array([by_number.get(number, (np.nan, np.nan)) for number in numbers], np.float64).reshape(-1, 2)
    heights, widths = sides.T.copy()
    places = [f"no. {i + 1}" for i in range(len(found))]

    def named(at) -> list[str]:
        return [places[i] for i in at]

    boxes, no_box, faulty = box_rules.read([d.get("bbox") for d in found])
    masks = mask_rules.look([d.get("segmentation") for d in found], heights, widths)
    refuse = findings.refuse
    refuse(named(faulty), "detection", "whose bbox is not four finite numbers", "write x, y, width, height", "such as")
    with np.errstate(invalid="ignore"):
        negative = np.flatnonzero((boxes[:, 2] < 0) | (boxes[:, 3] < 0))
    refuse(named(negative), "detection", "with a box of negative width or height", "correct it", "such as")
    bare = sorted(set(no_box) & set(masks.missing))
    refuse(named(bare), "detection", "without box and mask", "give each bbox or segmentation", "such as")
    for kind, without in (("bbox", no_box), ("segmentation", masks.missing)):
        if len(without) < len(found):
            some = [i for i in without if i not in set(bare)]
            refuse(
                named(some), "detection", f"without {kind}, which others have", "give it to all or to none", "such as"
            )
    for at, what in (
        (masks.unreadable + masks.empty, "whose mask is neither polygons nor run lengths"),
        (masks.not_finite, "with NaN or infinity in its mask"),
        (masks.other_size, "whose run lengths are of another size than their image"),
        (masks.wrong_sum, "whose run lengths do not add up to height x width"),
    ):
        refuse(named(at), "detection", what, "correct it", "such as")
    if findings.faults:
        return
    for i, detection in enumerate(found):
        for key in ("bbox", "segmentation"):
            if not detection.get(key):
                detection.pop(key, None)
        if mask := masks.replaced.get(i, detection.get("segmentation")):
            detection["segmentation"] = encoded(mask, int(heights[i]), int(widths[i]))
