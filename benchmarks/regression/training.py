"""Tier ``training``: short runs with a fixed seed, each of the positive control and of random weights.

The stored tolerance is the spread over seeds. Whatever the values are, the control must be above random weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.controls import write_random_control
from benchmarks.core.tasks import task_named
from benchmarks.regression.inference import STORED
from benchmarks.regression.judging import SETS, detector, judge
from benchmarks.regression.setting import Measured, Setting

#: Seeds of the stored values; a regression runs the first.
SEEDS = (0, 1, 2)

CONTROL, RANDOM = "control", "random"

Score = Callable[[Mapping[str, Any]], float]

#: Case -> the score, where it is in the metrics, and what differs from scale mini. Without a training (DAVIS, k-NN)
#: the seed is that of the random weights.
_RUNS: dict[str, tuple[str, Score, Mapping[str, Any]]] = {
    "davis": ("J&F", lambda metrics: 100 * metrics["J&F-Mean"], {}),
    "knn": ("top-1, k=20", lambda metrics: metrics["top1"]["20"], {"ks": (20,)}),
    "coco": ("segm AP50", lambda metrics: metrics["segm/AP50"], {"updates": 150}),
    "vitdet": ("segm AP50", lambda metrics: metrics["segm/AP50"], {"updates": 150}),
    "uavdt": ("AP", lambda metrics: metrics["AP"], {"epochs": 4}),
    "ade20k": (
        "mIoU",
        lambda metrics: metrics["mIoU"],
        {"iterations": 150, "learning_rate": 3e-3, "recipe": "corrected"},
    ),
}


def _both(case: str) -> Callable[..., Measured]:
    name, score, settings = _RUNS[case]
    task = detector(case) if case in STORED else task_named(case)

    def run(setting: Setting, seed: int = SEEDS[0]) -> Measured:
        out = setting.fresh(case)
        write_random_control(out / "random.safetensors", seed)
        scores = {}
        for which, checkpoint in ((CONTROL, setting.checkpoint), (RANDOM, out / "random.safetensors")):
            result, _ = judge(setting, task, case, out, settings, checkpoint, seed)
            scores[f"{name}, {which}"] = score(result.metrics)
        return Measured(scores, setting.data(SETS[case]), (setting.checkpoint,))

    return run


CASES = {case: _both(case) for case in _RUNS}
