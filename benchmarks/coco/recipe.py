"""The schedule of a run: what an experiment's config asks for, on the devices that are there.

The published batch is kept on fewer devices by gradient accumulation; another batch on purpose scales the
learning rate with it and says so. Updates count steps of the optimiser, whatever a library counts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.core.settings import option
from benchmarks.engines.schedule import Schedule, share
from benchmarks.errors import InputError

PRECISIONS = ("fp32", "fp16", "bf16")


@dataclass(frozen=True)
class Options:
    """What a command line can change of a recipe; None leaves it as it is."""

    batch: int | None = option(None, "images an update, over all devices")
    per_device: int | None = option(
        None, "images a device takes at a time; gradients are accumulated to the batch", launch=True
    )
    learning_rate: float | None = option(None, "replaces the recipe's, whatever the batch")
    updates: int | None = option(None, "updates in all; the drops move along")
    precision: str | None = option(None, "fp32, fp16 or bf16")

    def __post_init__(self) -> None:
        for name in ("batch", "per_device", "learning_rate", "updates"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise InputError(f"--{name.replace('_', '-')} is {value}: give a number above 0")
        if self.precision not in (None, *PRECISIONS):
            raise InputError(f"--precision is {self.precision!r}: choose one of {', '.join(PRECISIONS)}")


def resolve(recipe: Mapping[str, Any], images: int, devices: int, options: Options, gpu: bool) -> Schedule:
    """The schedule of ``recipe`` (a config's) for a training set of ``images`` on ``devices``.

    A recipe has ``batch``, ``learning_rate``, ``warm_up``, ``precision`` and ``drops``; the last count epochs beside
    ``epochs`` and updates beside ``updates``. Without ``per_device`` a device takes its share of the batch in one pass.
    """
    batch, notes = options.batch or recipe["batch"], []
    per_device = share(batch, options.per_device, devices)
    rate = recipe["learning_rate"]
    if batch != recipe["batch"]:
        rate *= batch / recipe["batch"]
        notes.append(f"batch {batch} instead of {recipe['batch']}: the learning rate is scaled by the same factor")
    if options.learning_rate is not None:
        rate = options.learning_rate
        notes.append(f"learning rate {rate:g} as asked for, instead of the recipe's {recipe['learning_rate']:g}")
    whole, of = _length(recipe, images, batch)
    updates = options.updates or whole
    if updates != whole:
        notes.append(f"{updates} updates instead of {whole}: not the recipe's length")
    # A tenth of the run at most is warm-up: short runs would not get beyond it.
    warm_up = min(recipe["warm_up"], max(1, updates // 10))
    drops = tuple(round(updates * drop / of) for drop in recipe["drops"])
    precision = options.precision or recipe["precision"]
    if precision == "fp16" and not gpu:
        if options.precision:
            raise InputError("--precision fp16 needs a GPU and torch finds none here: take bf16 or fp32")
        notes.append("fp32 instead of fp16: there is no GPU")
        precision = "fp32"
    accumulation = batch // (devices * per_device)
    return Schedule(batch, devices, per_device, accumulation, updates, warm_up, drops, rate, precision, tuple(notes))


def _length(recipe: Mapping[str, Any], images: int, batch: int) -> tuple[int, float]:
    """Updates of the whole recipe, and what its drops are parts of."""
    if "epochs" in recipe:
        return recipe["epochs"] * math.ceil(images / batch), recipe["epochs"]
    return max(1, round(recipe["updates"] * recipe["batch"] / batch)), recipe["updates"]
