"""COCO's average precisions and recalls, by pycocotools."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from benchmarks.coco.reading import read_annotations
from benchmarks.coco.results import for_engines
from benchmarks.errors import InputError

NAMES = ("AP", "AP50", "AP75", "APs", "APm", "APl")
#: All that pycocotools sums up, in its order: recalls at 1, 10 and 100 detections an image, and by size.
TWELVE = (*NAMES, "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")
KINDS = ("bbox", "segm")
#: Who scores the boxes, and the masks. The others are faster and give the same numbers to the last bits.
BOX_SCORERS = ("pycocotools", "faster-coco-eval", "hotcoco")
MASK_SCORERS = ("pycocotools", "hotcoco")


def score(
    annotations: str | os.PathLike[str],
    detections: list[dict[str, Any]],
    boxes_by: str = "pycocotools",
    matched: Callable[[COCOeval], None] | None = None,
) -> dict[str, float | None]:
    """``bbox/AP`` ... ``segm/APl`` in percent for detections in COCO's result format, with the ids of the file.

    All six at 100 detections an image, as COCO defines them. A size without ground truth has no score:
    None. The areas of ``segm`` come from the masks, so boxes are left out there. ``matched`` is handed pycocotools'
    evaluation of boxes and then of masks, whoever scores: gigabytes at COCO's size, not to be kept.
    """
    truth = read_annotations(annotations, files_needed=False)
    results = for_engines(detections, truth, str(annotations), "the detections")
    found = evaluate(truth.content, results, KINDS, boxes_by, matched)
    return {f"{kind}/{name}": found[kind][name] for kind in KINDS for name in NAMES}


def evaluate(
    content: dict[str, Any],
    detections: list[dict[str, Any]],
    kinds: Sequence[str] = KINDS,
    boxes_by: str = "pycocotools",
    matched: Callable[[COCOeval], None] | None = None,
    masks_by: str = "pycocotools",
) -> dict[str, dict[str, float | None]]:
    """By kind, the numbers of :data:`TWELVE` in percent for ``content`` and ``detections`` that the rules let through.

    Detections stay as they are; of ``content`` pycocotools turns masks into run lengths.
    """
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = content
        truth.createIndex()
    found: dict[str, dict[str, float | None]] = {}
    for kind in kinds:
        left_out = "segmentation" if kind == "bbox" else "bbox"
        # Of masks alone pycocotools takes the boxes itself.
        boxes = kind == "segm" or (bool(detections) and "bbox" in detections[0])
        results = [{key: d[key] for key in d if key != left_out or not boxes} for d in detections]
        if results:
            with contextlib.redirect_stdout(io.StringIO()):
                values = _values(content, truth, results, kind, boxes_by if kind == "bbox" else masks_by, matched)
        else:
            values = _nothing_found(truth)
        found[kind] = {
            name: None if value < 0 else 100.0 * float(value) for name, value in zip(TWELVE, values, strict=True)
        }
    return found


def _values(content, truth: COCO, results, kind: str, scored_by: str, matched) -> list[float]:
    match = scorer(scored_by)
    evaluation = match(content, truth, results, kind)
    evaluation.accumulate()
    evaluation.summarize()
    values = list(evaluation.stats[: len(TWELVE)])
    if matched:
        if match is not _pycocotools:
            evaluation = _pycocotools(content, truth, results, kind)
        matched(evaluation)
    return values


def scorer(name: str):
    """The matching of the scorer called ``name``; :class:`InputError` where it is not installed."""
    match = {"pycocotools": _pycocotools, "faster-coco-eval": _faster, "hotcoco": _hotcoco}[name]
    try:
        import_module(name.replace("-", "_"))
    except ImportError as error:
        raise InputError(f"{name} is not installed ({error}): pip install {name}, or leave it out") from error
    return match


def _pycocotools(content, truth: COCO, results: list[dict[str, Any]], kind: str) -> COCOeval:
    evaluation = COCOeval(truth, truth.loadRes(results), kind)
    evaluation.evaluate()
    return evaluation


def _faster(content, truth: COCO, results: list[dict[str, Any]], kind: str):
    from faster_coco_eval import COCO as FasterCOCO
    from faster_coco_eval import COCOeval_faster

    truth = FasterCOCO(content)
    evaluation = COCOeval_faster(truth, truth.loadRes(results), kind)
    evaluation.evaluate()
    return evaluation


def _hotcoco(content, truth: COCO, results: list[dict[str, Any]], kind: str):
    from hotcoco import COCO as HotCOCO
    from hotcoco import COCOeval as HotEvaluation

    truth = HotCOCO(content)
    evaluation = HotEvaluation(truth, truth.loadRes(results), kind)
    evaluation.evaluate()
    return evaluation


def _nothing_found(truth: COCO) -> list[float]:
    """What no detections at all are worth: 0 where there is something to be found, and no score elsewhere."""
    areas = [a["area"] for a in truth.dataset["annotations"] if not a.get("iscrowd")]
    every, sizes = (0, 1e10), ((0, 32**2), (32**2, 96**2), (96**2, 1e10))
    limits = ((every,) * 3 + sizes) * 2
    return [0.0 if any(low <= area <= high for area in areas) else -1.0 for low, high in limits]
