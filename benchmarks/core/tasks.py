"""Every task by its name. A benchmark is one folder with a ``task.py`` whose ``TASKS`` stand here.

``FLSL_TASKS`` names more modules with ``TASKS`` of their own, separated by commas: benchmarks that are not the suite's.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from typing import Any

from benchmarks.core.task import Task
from benchmarks.errors import InputError

MODULES = (
    "benchmarks.coco.task",
    "benchmarks.uavdt.task",
    "benchmarks.visdrone.task",
    "benchmarks.davis.task",
    "benchmarks.knn.task",
    "benchmarks.ade20k.task",
    "benchmarks.segmentation.task",
)


def tasks() -> dict[str, Task[Any, Any]]:
    """Name -> task. No engine is imported."""
    return {task.name: task for module in _modules() for task in _of(module)}


def task_named(name: str) -> Task[Any, Any]:
    """The task called ``name``; :class:`InputError` names those that there are."""
    # A worker has one task to do: of the suite's modules it imports that of its benchmark alone.
    own = f"benchmarks.{name.partition('-')[0]}.task"
    for task in _of(own) if own in MODULES else ():
        if task.name == name:
            return task
    found = tasks()
    if name not in found:
        raise InputError(f"there is no task {name}: {', '.join(found)}")
    return found[name]


def frozen(task: Task[Any, Any]) -> Task[Any, Any]:
    """The task that judges as ``task`` does, with a network that is not trained: itself, where it trains none.

    :class:`InputError` where there is no such protocol.
    """
    if task.frozen_task:
        return task_named(task.frozen_task)
    if task.needs == "features":
        return task
    known = ", ".join(dict.fromkeys(one.name for one in tasks().values() if one.frozen_task not in (None, one.name)))
    raise InputError(f"--frozen: {task.name} has no protocol for a frozen network; those of {known} have names")


def _modules() -> tuple[str, ...]:
    return (*MODULES, *(name for name in os.environ.get("FLSL_TASKS", "").split(",") if name))


def _of(module: str) -> Sequence[Task[Any, Any]]:
    try:
        found: Sequence[Task[Any, Any]] = importlib.import_module(module).TASKS
    except ModuleNotFoundError as error:
        if module not in MODULES and error.name == module.partition(".")[0]:
            raise InputError(f"FLSL_TASKS: {module} cannot be imported: is it on PYTHONPATH?") from error
        raise
    return found
