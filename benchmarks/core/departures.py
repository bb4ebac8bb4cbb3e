"""Where a run departs from its protocol: one rule for all tasks, by the settings that its record keeps."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.core.result import Result


def departures(result: Result) -> tuple[str, ...]:
    """What the run was told and its protocol is not, as ``updates 40``; empty where it was told nothing else.

    Compared are the settings of the task at the run's scale, but how the work was cut up (``launch``) and what a task
    calls ``free``. Tasks that are not known here and records without settings (versions 1 and 2) say nothing.
    Such a run is not held against a published row, and is no protocol's in a spread.
    """
    from benchmarks.core.tasks import tasks

    task = tasks().get(result.task)
    if task is None:
        return ()
    found = _differences(task.settings(result.scale), result.settings, "")
    return tuple(f"{name} {value}" for name, value in found if name not in task.free)


def _differences(usual: Any, told: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for field in dataclasses.fields(usual):
        name, value = prefix + field.name, getattr(usual, field.name)
        if field.name not in told:  # younger than the record
            continue
        own = told[field.name]
        if dataclasses.is_dataclass(value):
            yield from _differences(value, own, f"{name}.")
        elif not field.metadata.get("launch") and own != json.loads(json.dumps(value)):
            yield name, own
