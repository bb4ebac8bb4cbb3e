"""What UAVDT adds to mmdet: the official score as an mmengine metric, and even chips of a frame for training.

Importing this module imports mmdet; the configs of UAVDT name it in their ``custom_imports``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmcv.transforms.utils import cache_randomness
from mmdet.datasets.transforms import RandomCrop
from mmdet.registry import METRICS, TRANSFORMS
from mmengine.evaluator import BaseMetric
from mmengine.utils import get_object_from_string


@METRICS.register_module()
class UavdtMetric(BaseMetric):
    """UAVDT's official average precision, in percent, over all sequences of the data set, and by attribute.

    Args:
        scorer: dotted name of the benchmark's function, which an engine does not know: of ``ground_truth``, tuples
            (sequence, frame from 1, boxes, scores) and ``out``; its result has ``scores()``.
        ground_truth: folder of ``Mxxxx_gt_whole.txt`` and ``Mxxxx_gt_ignore.txt``.
        out: folder for the detections in the toolkit's format; ``tools/evaluate_uavdt.py`` gives these files the
            same score.
    """

    default_prefix = "uavdt"

    def __init__(self, scorer: str, ground_truth: str, out: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.score = get_object_from_string(scorer)
        self.ground_truth, self.out = ground_truth, out

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep what was found in each frame; ``img_path`` says of which sequence it is."""
        for sample in data_samples:
            found, path = sample["pred_instances"], Path(sample["img_path"])
            boxes, scores = found["bboxes"].cpu().numpy(), found["scores"].cpu().numpy()
            self.results.append((path.parent.name, int(path.stem.removeprefix("img")), boxes, scores))

    def compute_metrics(self, results: list[tuple]) -> dict[str, float]:
        scores = self.score(self.ground_truth, results, self.out).scores()
        return {"AP": scores["AP"], **{name: value["AP"] for name, value in scores["attributes"].items()}}


@TRANSFORMS.register_module()
class EvenChips(RandomCrop):
    """Takes the whole frame or one of its four quarters, each as often: ClusDet's even chips, drawn and not stored.

    Boxes are clipped to the chip; a chip without objects is kept. ``none`` leaves frames whole.
    """

    def __init__(self, chips: str) -> None:
        super().__init__(crop_size=(0.5, 0.5), crop_type="relative", allow_negative_crop=True)
        self.chips = chips

    def transform(self, results: dict) -> dict:
        if self.chips == "none" or np.random.randint(5) == 0:
            return results
        return super().transform(results)

    @cache_randomness
    def _rand_offset(self, margin: tuple[int, int]) -> tuple[int, int]:
        return margin[0] * np.random.randint(2), margin[1] * np.random.randint(2)
