"""The regression's tasks: the suite's own at scale mini, with small detectors whose heads may be stored."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.ade20k.task import Ade20k
from benchmarks.coco.task import Coco, CocoVitDet
from benchmarks.core.model import load_model
from benchmarks.core.result import Result
from benchmarks.core.runner import evaluate
from benchmarks.core.task import Task
from benchmarks.regression.heads import place_snapshot
from benchmarks.regression.setting import CONFIGS, DETECTORS_ON_COCO, Setting
from benchmarks.uavdt.dataset import CLASSES
from benchmarks.uavdt.task import Uavdt

#: Case -> the data set it runs on.
SETS = {
    "davis": "davis", "knn": "imagenet", "coco": "coco", "vitdet": "coco", "uavdt": "uavdt", "ade20k": "ade20k"
}  # fmt: skip


class OwnDetector(Task[Any, Any]):
    """A detector or segmenter that goes on from stored ``heads`` in place of a training, where some are given."""

    heads: Path | None = None

    def classes(self, data: Any, settings: Any) -> tuple[str, ...]:
        """What the heads tell apart."""
        return tuple(data.classes)

    def run(self, model, data, settings, scale, place):
        if self.heads:
            place_snapshot(self.heads, place.folder, self.classes(data, settings), step=1)
        return super().run(model, data, settings, scale, place)


class _MaskRcnn(OwnDetector, Coco):
    def config(self, model, settings, scale):
        return DETECTORS_ON_COCO["coco"]


class _ViTDet(OwnDetector, CocoVitDet):
    def config(self, model, settings, scale):
        return DETECTORS_ON_COCO["vitdet"]


class _Uavdt(OwnDetector, Uavdt):
    configs: ClassVar = {"mini": CONFIGS / "faster_rcnn.py"}

    def classes(self, data, settings):
        return CLASSES[settings.classes]


class _Ade20k(OwnDetector, Ade20k):
    pass


def detector(case: str, heads: Path | None = None) -> OwnDetector:
    """What a case trains, or with stored ``heads`` does not."""
    of_coco = ("the regression's detector", "no cost known", 0.1, 1)
    made: dict[str, OwnDetector] = {
        "coco": _MaskRcnn("regression-mask-rcnn", *of_coco),
        "vitdet": _ViTDet("regression-vitdet", *of_coco),
        "uavdt": _Uavdt(),
        "ade20k": _Ade20k(),
    }
    made[case].heads = heads
    return made[case]


def judge(
    setting: Setting,
    task: Task[Any, Any],
    case: str,
    out: Path,
    settings: Mapping[str, Any] | None = None,
    checkpoint: Path | None = None,
    seed: int = 0,
    progress: bool = False,
) -> tuple[Result, Path]:
    """One run of ``task`` by the suite's runner on the case's data, and the folder of what it left."""
    model = load_model(checkpoint or setting.checkpoint)
    data = setting.data(SETS[case])
    result = evaluate(model, task, data, "mini", out, seed, progress=progress, settings=settings)
    return result, out / result.artefacts
