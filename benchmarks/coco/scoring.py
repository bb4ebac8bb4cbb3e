"""COCO's six average precisions, by pycocotools."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable
from typing import Any

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from benchmarks.errors import InputError

NAMES = ("AP", "AP50", "AP75", "APs", "APm", "APl")
#: Who scores the boxes; masks are always pycocotools'.
BOX_SCORERS = ("pycocotools", "faster-coco-eval")


def score(
    annotations: str | os.PathLike[str],
    detections: list[dict[str, Any]],
    boxes_by: str = "pycocotools",
    matched: Callable[[COCOeval], None] | None = None,
) -> dict[str, float | None]:
    """``bbox/AP`` ... ``segm/APl`` in percent for detections in COCO's result format.

    All six at 100 detections an image, as COCO defines them. A size without ground truth has no score:
    None. The areas of ``segm`` come from the masks, so boxes are left out there. ``matched`` is handed pycocotools'
    evaluation of boxes and then of masks, whoever scores: gigabytes at COCO's size, not to be kept.
    """
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(annotations))
    found: dict[str, float | None] = {}
    for kind in ("bbox", "segm"):
        left_out = "segmentation" if kind == "bbox" else "bbox"
        results = [{key: value for key, value in d.items() if key != left_out} for d in detections]
        if results:
            with contextlib.redirect_stdout(io.StringIO()):
                values = _values(annotations, truth, results, kind, boxes_by, matched)
        else:
            values = _nothing_found(truth)
        found |= {
            f"{kind}/{name}": None if value < 0 else 100.0 * float(value)
            for name, value in zip(NAMES, values, strict=True)
        }
    return found


def _values(annotations, truth: COCO, results, kind: str, boxes_by: str, matched) -> list[float]:
    match = box_scorer(boxes_by) if kind == "bbox" else _pycocotools
    evaluation = match(annotations, truth, results, kind)
    evaluation.accumulate()
    evaluation.summarize()
    values = list(evaluation.stats[: len(NAMES)])
    if matched:
        if match is not _pycocotools:
            evaluation = _pycocotools(annotations, truth, results, kind)
        matched(evaluation)
    return values


def box_scorer(name: str):
    """The matching of the scorer called ``name``; :class:`InputError` where it is not installed."""
    if name == "pycocotools":
        return _pycocotools
    try:
        import faster_coco_eval  # noqa: F401
    except ImportError as error:
        raise InputError(f"{name} is not installed ({error}): pip install faster-coco-eval, or leave it out") from error
    return _faster


def _pycocotools(annotations, truth: COCO, results: list[dict[str, Any]], kind: str) -> COCOeval:
    evaluation = COCOeval(truth, truth.loadRes(results), kind)
    evaluation.evaluate()
    return evaluation


def _faster(annotations, truth: COCO, results: list[dict[str, Any]], kind: str):
    from faster_coco_eval import COCO as FasterCOCO
    from faster_coco_eval import COCOeval_faster

    truth = FasterCOCO(str(annotations))
    evaluation = COCOeval_faster(truth, truth.loadRes(results), kind)
    evaluation.evaluate()
    return evaluation


def _nothing_found(truth: COCO) -> list[float]:
    """What no detections at all are worth: 0 where there is something to be found, and no score elsewhere."""
    areas = [a["area"] for a in truth.dataset["annotations"] if not a.get("iscrowd")]
    limits = ((0, 1e10),) * 3 + ((0, 32**2), (32**2, 96**2), (96**2, 1e10))
    return [0.0 if any(low <= area <= high for area in areas) else -1.0 for low, high in limits]
