"""Two files in, COCO's twelve numbers out: any program's detections under the same rules as our own."""

from __future__ import annotations

import os
from typing import Any

from benchmarks.coco.explain import explain
from benchmarks.coco.reading import read_annotations
from benchmarks.coco.results import for_engines, read_results
from benchmarks.coco.scoring import KINDS, evaluate
from benchmarks.errors import InputError


def evaluate_files(
    annotations: str | os.PathLike[str],
    detections: str | os.PathLike[str],
    boxes_only: bool = False,
    boxes_by: str = "pycocotools",
    masks_by: str = "pycocotools",
) -> dict[str, Any]:
    """``{"bbox": {"AP": ..., ...}, "segm": {...}, "notes": [...]}``: twelve numbers each in percent, None if undefined.

    ``segm`` is left out with ``boxes_only``, and where the annotations or the detections have no masks at all, which is
    said. :class:`InputError` for files that the rules of :mod:`benchmarks.coco.annotations` and
    :mod:`benchmarks.coco.results` do not let through.
    """
    found = read_results(detections)
    truth = read_annotations(annotations, masks_needed=False, files_needed=False)
    results = for_engines(found, truth, str(annotations), str(detections))
    notes = list(truth.notes)
    kinds = KINDS[:1] if boxes_only else KINDS
    if not boxes_only:
        bare = [a["id"] for a in truth.content["annotations"] if not a.get("segmentation")]
        without = str(annotations) if bare else str(detections)
        if bare and len(bare) < len(truth.content["annotations"]):
            raise InputError(
                f"{annotations}: {len(bare)} of {len(truth.content['annotations'])} annotations have no mask: "
                "add the masks, or score boxes alone with --boxes-only"
            )
        if bare or (results and "segmentation" not in results[0]):
            notes.append(f"{without} has no masks: boxes alone are scored")
            kinds = KINDS[:1]
    scores = evaluate(truth.content, results, kinds, boxes_by, masks_by=masks_by)
    notes += explain(truth.content, results, scores["bbox"]["AP50"])
    return {**scores, "notes": notes}
