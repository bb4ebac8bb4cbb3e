"""The rules for annotations: what each key must be, what is completed, what is dropped."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from benchmarks.coco import boxes as box_rules
from benchmarks.coco import masks as mask_rules
from benchmarks.coco.complete import area_of, box_of
from benchmarks.coco.findings import Findings
from benchmarks.coco.identity import alike, is_finite, is_number_from_1, numbers_of_annotations, refuse_unlisted
from benchmarks.coco.listed import Sizes, needs_numbers, sides_of


class Objects:
    """The annotations of a file by columns; ``heights`` and ``widths`` are those of their images, NaN if not known."""

    def __init__(self, entries: list[dict[str, Any]], findings: Findings) -> None:
        self.entries, self.findings = entries, findings
        ids = self.column("id")
        self.names = ["no. " + str(i + 1) if own is None else own for i, own in enumerate(ids)] if None in ids else ids
        self.numbers = numbers_of_annotations(ids, findings)

    def column(self, key: str) -> list[Any]:
        """One key of all annotations; None where it is not there."""
        return [entry.get(key) for entry in self.entries]

    def named(self, places: Iterable[int]) -> list[Any]:
        """The ids of annotations, for messages."""
        return [self.names[place] for place in places]

    def judge(self, sizes: Sizes, categories: dict[Any, int], masks_needed: bool) -> None:
        """Look at every key; what is wrong goes to the findings. ``sizes`` are those of the images by their own ids."""
        self.image_ids = alike(self.column("image_id"), sizes, "image", self.findings)
        self.category_ids = alike(self.column("category_id"), categories, "category", self.findings)
        lost = set(refuse_unlisted(self.image_ids, sizes, self.names, "image", self.findings))
        refuse_unlisted(self.category_ids, categories, self.names, "category", self.findings)
        self.heights, self.widths = sides_of(self.image_ids if not lost else self._known(lost), sizes)
        self.masks = mask_rules.look(self.column("segmentation"), self.heights, self.widths)
        self.boxes, self.no_box, faulty = box_rules.read(self.column("bbox"))
        self._refuse_masks(masks_needed)
        self._refuse_boxes(faulty)
        self.no_flag = self._flags()
        self.no_area = self._areas()
        ignore = self.column("ignore")
        self.ignored = [i for i, value in enumerate(ignore) if value] if any(ignore) else []

    def _known(self, lost: set[int]) -> list[Any]:
        return [None if i in lost else own for i, own in enumerate(self.image_ids)]

    def _refuse_masks(self, masks_needed: bool) -> None:
        masks, refuse = self.masks, self.findings.refuse
        if masks_needed:
            remedy = "give each a polygon or run lengths (boxes alone can be scored, but train no Mask R-CNN)"
            refuse(self.named(masks.missing), "annotation", "without a mask", remedy)
        for places, what, remedy in (
            (masks.unreadable, "whose mask is no list of polygons [x, y, x, y, ...] and no run lengths", "correct it"),
            (masks.not_finite, "with NaN or infinity in its mask", "correct it"),
            (
                masks.other_size,
                "whose run lengths are of another size than their image",
                "correct size: [height, width]",
            ),
            (masks.wrong_sum, "whose run lengths do not add up to height x width", "encode the masks again"),
        ):
            refuse(self.named(places), "annotation", what, remedy)
        known = masks.extents[~np.isnan(masks.extents[:, 0])]
        if len(known) and known.max() <= 1 and known.min() >= 0 and np.nanmax(self.widths) > 2:
            remedy = "multiply by the image's width and height"
            refuse(
                self.named(masks_of(masks)), "annotation", "with all masks within 0 to 1, as parts of the image", remedy
            )
        text = f"whose mask leaves its image by more than {mask_rules.SLACK:g} pixel"
        refuse(self.named(masks.outside), "annotation", text, "cut it to the image, or correct the image's size")

    def _refuse_boxes(self, faulty: list[int]) -> None:
        refuse, boxes, sides = self.findings.refuse, self.boxes, (self.heights, self.widths)
        refuse(self.named(faulty), "annotation", "whose bbox is not four finite numbers", "write x, y, width, height")
        without = set(self.masks.missing) | set(self.masks.unreadable)
        bare = [i for i in self.no_box if i in without]
        refuse(self.named(bare), "annotation", "without bbox and without a mask to take it from", "add bbox")
        corners = "COCO's boxes are x, y, width, height and these read as x1, y1, x2, y2: subtract"
        with np.errstate(invalid="ignore"):
            negative = np.flatnonzero((boxes[:, 2] < 0) | (boxes[:, 3] < 0))
        refuse(self.named(negative), "annotation", "with a box of negative width or height", "correct it")
        known = boxes[~np.isnan(boxes[:, 0])]
        if len(known) and known.max() <= 1 and known.min() >= 0 and np.nanmax(self.widths) > 2:
            remedy = "multiply by the image's width and height"
            refuse(self.names, "annotation", "with all boxes within 0 to 1, as parts of the image", remedy)
        beyond = np.flatnonzero(box_rules.outside(boxes, *sides))
        if len(beyond):
            fit = bool(box_rules.fit_as_corners(boxes[beyond], *(side[beyond] for side in sides)).all())
            text = f"whose box leaves its image by more than {mask_rules.SLACK:g} pixel"
            refuse(self.named(beyond), "annotation", text, corners if fit else "correct box or size of the image")
        elif box_rules.are_corners_of(boxes, self.masks.extents):
            refuse(self.names, "annotation", "most of whose boxes are the corners of the masks", corners)

    def _flags(self) -> list[int]:
        """Places without ``iscrowd`` as an integer; what is neither 0 nor 1 is a fault."""
        flags = self.column("iscrowd")
        if set(map(type, flags)) == {int} and set(flags) <= {0, 1}:
            return []
        known = {int, bool, float, type(None)}
        wrong = [i for i, f in enumerate(flags) if type(f) not in known or f not in (None, 0, 1)]
        self.findings.refuse(self.named(wrong), "annotation", "whose iscrowd is neither 0 nor 1", "correct it")
        return [i for i, flag in enumerate(flags) if type(flag) is not int]

    def _areas(self) -> list[int]:
        """Places without ``area``; what is no number of 0 or more is a fault."""
        areas = self.column("area")
        if set(map(type, areas)) == {float} and min(areas) >= 0 and math.isfinite(sum(areas)):
            return []
        wrong = [i for i, area in enumerate(areas) if area is not None and not (is_finite(area) and area >= 0)]
        remedy = "correct it, or leave it out: the mask's pixels are counted then"
        self.findings.refuse(self.named(wrong), "annotation", "whose area is no number of 0 or more", remedy)
        return [i for i, area in enumerate(areas) if area is None]

    def repair(
        self, images: dict[Any, int], categories: dict[Any, int], training: bool
    ) -> tuple[list[dict[str, Any]], bool]:
        """The annotations as every engine reads them, and whether that is a change; what was done is said."""
        entries, masks, dropped = self.entries, self.masks, set(self.masks.empty)
        self._say(training)
        for i, mask in masks.replaced.items():
            entries[i]["segmentation"] = mask
        for i in self.no_flag:
            entries[i]["iscrowd"] = int(entries[i].get("iscrowd") or 0)
        for i in self.ignored:
            del entries[i]["ignore"]
        dropped |= set(self.ignored) if training else set()
        for i in set(self.no_box) - dropped:
            entries[i]["bbox"] = box_of(entries[i]["segmentation"], int(self.heights[i]), int(self.widths[i]))
        for i in set(self.no_area) - dropped:
            entries[i]["area"] = area_of(entries[i], int(self.heights[i]), int(self.widths[i]))
        changed = bool(masks.replaced or dropped or self.no_flag or self.ignored or self.no_box or self.no_area)
        for key, used, numbers in (
            ("image_id", self.image_ids, images),
            ("category_id", self.category_ids, categories),
        ):
            if needs_numbers(self.column(key), numbers):
                changed = True
                for entry, own in zip(entries, used, strict=True):
                    entry[key] = numbers[own]
        if self.numbers:
            changed = True
            for entry, number in zip(entries, self.numbers, strict=True):
                entry["id"] = number
        if dropped:
            entries = [entry for i, entry in enumerate(entries) if i not in dropped]
        return entries, changed

    def _say(self, training: bool) -> None:
        say, masks = self.findings.say, self.masks
        if self.numbers:
            odd = [name for name, own in zip(self.names, self.column("id"), strict=True) if not is_number_from_1(own)]
            say(odd, "annotation", "without a number from 1 on as id: all are numbered anew, no score depends on it")
        ignored = "marked ignore: left out of the training" if training else "marked ignore: COCO's score counts them"
        for places, what in (
            (masks.empty, "whose mask has no part of three points: dropped"),
            (masks.stray, "whose mask has parts of fewer than three points: these parts are dropped"),
            (masks.flat, "whose mask is one polygon, not a list of them: taken as a list of one"),
            (self.no_flag, "without iscrowd as a number: 0 if it is not there"),
            (self.no_box, "without bbox: taken from the mask"),
            (self.no_area, "without area: the pixels of the mask are counted"),
            (self.ignored, ignored),
        ):
            say(self.named(places), "annotation", what)


def masks_of(masks: mask_rules.Masks) -> list[int]:
    """Places of the polygons whose extents are known."""
    return np.flatnonzero(~np.isnan(masks.extents[:, 0])).tolist()
