"""What VisDrone-DET adds to mmdet: its official score as an mmengine metric.

Importing this module imports mmdet; the configs of VisDrone name it in their ``custom_imports``.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from typing import Any

from mmdet.registry import METRICS
from mmengine.evaluator import BaseMetric
from mmengine.utils import get_object_from_string


@METRICS.register_module()
class VisdroneMetric(BaseMetric):
    """VisDrone-DET's official average precision and recall, in percent.

    Args:
        scorer: dotted name of the benchmark's function, which an engine does not know: of ``ground_truth``, tuples
            (path, corners, scores, classes from 0) and ``out``; it gives the numbers by name.
        ground_truth: folder with ``images/`` and ``annotations/``.
        out: folder for the detections in the toolkit's format; left out, they are not kept.
    """

    default_prefix = "visdrone"

    def __init__(self, scorer: str, ground_truth: str, out: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.score = get_object_from_string(scorer)
        self.ground_truth, self.out = ground_truth, out

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep what was found in each picture."""
        for sample in data_samples:
            found = sample["pred_instances"]
            values = (found[name].cpu().numpy() for name in ("bboxes", "scores", "labels"))
            self.results.append((sample["img_path"], *values))

    def compute_metrics(self, results: list[tuple]) -> dict[str, float]:
        with tempfile.TemporaryDirectory() as passing:
            numbers = self.score(self.ground_truth, results, self.out or passing)
        return {name: value for name, value in numbers.items() if isinstance(value, float)}
