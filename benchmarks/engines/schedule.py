"""The steps of a run, resolved: what every detection engine is told."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from benchmarks.errors import InputError


@dataclass(frozen=True)
class Schedule:
    """A run's steps, resolved. ``notes`` says where it departs from the recipe."""

    batch: int
    devices: int
    per_device: int
    accumulation: int  # passes of all devices an update
    updates: int
    warm_up: int
    drops: tuple[int, ...]  # updates after which the learning rate is a tenth
    learning_rate: float
    precision: str
    notes: tuple[str, ...] = ()

    @property
    def passes(self) -> int:
        """Forward and backward passes of a device."""
        return self.updates * self.accumulation

    def as_record(self) -> dict[str, Any]:
        """Plain data for a record."""
        return {**dataclasses.asdict(self), "drops": list(self.drops), "notes": list(self.notes)}

    def deciding(self) -> dict[str, Any]:
        """What decides a number: all but how the batch is shared out."""
        shared = ("devices", "per_device", "accumulation", "notes")
        return {name: value for name, value in self.as_record().items() if name not in shared}

    def lines(self) -> list[str]:
        """For people: the arithmetic, then what is not the recipe's."""
        parts = f"{self.devices} devices x {self.per_device} images x {self.accumulation} passes"
        drops = ", ".join(map(str, self.drops)) or "none"
        return [
            f"batch {self.batch} = {parts}, {self.precision}",
            f"{self.updates} updates, warm-up {self.warm_up}, drops after {drops}, rate {self.learning_rate:g}",
            *self.notes,
        ]


def share(batch: int, per_device: int | None, devices: int) -> int:
    """Images that a device takes at a time; :class:`InputError` where a batch is no whole number of passes."""
    if batch % devices:
        raise InputError(f"a batch of {batch} does not divide among {devices} devices: set --batch or --gpus")
    taken = per_device or batch // devices
    if batch % (devices * taken):
        raise InputError(
            f"a batch of {batch} is no whole number of passes of {devices} devices with {taken} images: "
            "set --per-device or --batch"
        )
    return taken
