"""COCO's six average precisions, by pycocotools."""

from __future__ import annotations

import contextlib
import io
import os
from typing import Any

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

NAMES = ("AP", "AP50", "AP75", "APs", "APm", "APl")


def score(annotations: str | os.PathLike[str], detections: list[dict[str, Any]]) -> dict[str, float | None]:
    """``bbox/AP`` ... ``segm/APl`` in percent for detections in COCO's result format.

    All six at 100 detections an image, as COCO defines them. A size without ground truth has no score:
    None. The areas of ``segm`` come from the masks, so boxes are left out there.
    """
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(annotations))
    found: dict[str, float | None] = {}
    for kind in ("bbox", "segm"):
        left_out = "segmentation" if kind == "bbox" else "bbox"
        results = [{key: value for key, value in d.items() if key != left_out} for d in detections]
        values = [0.0] * len(NAMES)
        if results:
            with contextlib.redirect_stdout(io.StringIO()):
                evaluation = COCOeval(truth, truth.loadRes(results), kind)
                evaluation.evaluate()
                evaluation.accumulate()
                evaluation.summarize()
            values = evaluation.stats[: len(NAMES)]
        found |= {
            f"{kind}/{name}": None if value < 0 else 100.0 * float(value)
            for name, value in zip(NAMES, values, strict=True)
        }
    return found
