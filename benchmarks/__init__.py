"""Dense-prediction benchmarks for self-supervised vision weights.

Five lines judge a network that was never a file::

    import benchmarks
    model = benchmarks.load_model(module, patch_size=8, name="mine")   # or a checkpoint: "dino_s16.pth"
    result = benchmarks.evaluate(model, "davis", data_root="data", scale="mini", out="runs/mine")
    result.metrics["J&F-Mean"]                                         # the result is the record

Importing this package imports nothing heavy; detection and segmentation libraries are imported by
``benchmarks.engines`` alone, when a task needs one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.core.model import load_model
    from benchmarks.core.runner import evaluate
    from benchmarks.core.tasks import tasks

__all__ = ["evaluate", "load_model", "tasks"]
__version__ = "0.2.0"
#: The console script, the same as ``python -m benchmarks``.
SUITE = "flsl-bench"

_HOMES = {
    "evaluate": "benchmarks.core.runner",
    "load_model": "benchmarks.core.model",
    "tasks": "benchmarks.core.tasks",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
