"""A task: a benchmark under a named protocol. Everything else, from the command line to the table, is the runner's."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from benchmarks.claim import Claim
from benchmarks.core.data import Fingerprint
from benchmarks.core.model import Model

S = TypeVar("S")  # the settings: a frozen dataclass
D = TypeVar("D")  # the opened data

SCALES = ("paper", "mini")


@dataclass(frozen=True)
class Launch:
    """How a job's processes are started: ``none`` (one process) or ``torchrun``."""

    launcher: str = "none"
    gpus: int = 1  # on each machine
    nodes: int = 1
    claim: Claim | None = None  # on the job's folder, to hand to processes that work in it

    @property
    def devices(self) -> int:
        """Processes that share the job."""
        return self.gpus * self.nodes if self.launcher == "torchrun" else 1


@dataclass(frozen=True)
class Place:
    """Where and on what a run works: its folder, the device's name (``auto``, ``cpu``, ``cuda``), its processes."""

    folder: Path
    device: str = "auto"
    launch: Launch = Launch()
    seed: int = 0
    progress: bool = True


@dataclass(frozen=True)
class Plan:
    """How one model is judged, resolved before anything runs.

    ``resolved`` is plain JSON data that, with the settings, decides the number: a config of an engine without paths.
    ``variant`` goes to the name of the run: a variant never shares its row with the protocol itself.
    """

    protocol: str
    resolved: Mapping[str, Any] = field(default_factory=dict)
    variant: str = ""
    details: tuple[str, ...] = ()  # for people: the schedule and the like


@dataclass(frozen=True)
class Outcome:
    """What a run found: metrics, facts of the run, a bootstrap interval, and the model where the run made it."""

    metrics: Mapping[str, Any]
    run: Mapping[str, Any]
    interval: Mapping[str, Any] = field(default_factory=dict)
    model: Model | None = None


class Task(ABC, Generic[S, D]):
    """One benchmark under one protocol. An object has no state: everything it needs is handed to it."""

    name: str  # on the command line
    benchmark: str  # in records and tables: tasks of one benchmark differ in their protocol
    title: str
    version: int = 1  # raised when a change of ours moves scores, so that records before it are others
    seeded: bool = True  # whether chance takes part
    needs: Literal["features", "weights"] = "features"  # frozen features of any network, or a checkpoint to fine-tune
    engine: str | None = None
    data: str  # for people: the data set, and its folder under the data root
    cost: str  # for people: of a run at scale paper
    mini_minutes: float = 1.0  # of a run at scale mini on one core
    #: Who shares a job's work: "processes", which the launcher starts; "itself": it starts its own; or "nobody": then
    #: the launcher makes no difference, and several GPUs run jobs side by side.
    shared_by: Literal["processes", "itself", "nobody"] = "nobody"
    #: What to show of the metrics: heading, dotted place, factor to the unit that the field prints.
    columns: Sequence[tuple[str, str, float]]
    #: The task that trains a detector over a frozen network, under a protocol of its own name: ``--frozen`` takes it.
    frozen_task: str | None = None
    #: Settings that leave a protocol what it is: who computes it, and variants with rows of their own. A run that was
    #: told any other is not held against published rows (:mod:`benchmarks.core.departures`).
    free: Sequence[str] = ()

    @abstractmethod
    def settings(self, scale: str) -> S:
        """The protocol's settings at a scale: ``paper`` is the published protocol, ``mini`` a size for two cores."""

    @abstractmethod
    def open(self, data_root: Path, scale: str, settings: S) -> D:
        """The data under ``data_root``, checked; :class:`benchmarks.errors.InputError` for what cannot be used.

        Nothing is written, but for scale ``mini`` the shapes world where there is no data.
        """

    @abstractmethod
    def fingerprint(self, data: D) -> Fingerprint:
        """The data's identity."""

    def describe(self, data: D, settings: S) -> list[str]:
        """For people: what all jobs have in common."""
        return []

    def suit(self, model: Model, settings: S, scale: str) -> None:
        """:class:`benchmarks.errors.InputError` where a network of this kind cannot be judged, whatever the data."""

    def plan(self, model: Model, data: D, settings: S, scale: str, launch: Launch) -> Plan:
        """How ``model`` is judged; :class:`benchmarks.errors.InputError` where it cannot be."""
        return Plan(self.name)

    def foresee(self, model: Model, data: D, settings: S, scale: str, launch: Launch) -> list[str]:
        """For people, of a dry run alone: what a job will take. No job waits for it."""
        return []

    def require(self, scale: str, device: str) -> None:
        """:class:`benchmarks.errors.InputError` where this machine cannot run jobs; a dry run does not ask."""

    @abstractmethod
    def run(self, model: Model, data: D, settings: S, scale: str, place: Place) -> Outcome:
        """Judge ``model``, going on from what is in the folder. Of several processes the first one's outcome counts."""

    def device(self, asked: str) -> str:
        """What jobs run on, for their records."""
        from benchmarks.devices import usable_device

        return str(usable_device(asked))

    def draw(self, data: D, settings: S, runs: Mapping[str, Path], pictures: Path) -> None:
        """Draw finished runs (label -> folder) from what they left in their folders."""

    def headline(self, metrics: Mapping[str, Any]) -> dict[str, float | None]:
        """:attr:`columns` of a result, in the field's unit."""
        return {heading: _at(metrics, place, factor) for heading, place, factor in self.columns}


def _at(metrics: Mapping[str, Any], place: str, factor: float) -> float | None:
    found: Any = metrics
    for key in place.split("."):
        found = found.get(key) if isinstance(found, Mapping) else None
    return None if found is None else factor * found


def scale_or_error(scale: str) -> str:
    """``scale`` itself; :class:`benchmarks.errors.InputError` for one that there is not."""
    from benchmarks.errors import InputError

    if scale not in SCALES:
        raise InputError(f"scale {scale!r}: choose {' or '.join(SCALES)}")
    return scale
