"""What a benchmark brings to its table. Everything else, from the command line to the rendering, is the driver's."""

from __future__ import annotations

import argparse
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks.claim import Claim
from benchmarks.tables.jobs import Job
from benchmarks.tables.paper import Table
from benchmarks.tables.render import Sheet, sheet


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


class Benchmark(ABC):
    """One table's benchmark. A command line makes one object, which lives as long as the command."""

    table: Table
    #: Names for ``--engine``, the default first; empty where none is needed.
    engines: Sequence[str] = ()
    #: Who shares a job's work: "processes", which the launcher starts; "itself": it starts its own; or "nobody": then
    #: the launcher makes no difference, and ``--gpus`` runs jobs side by side.
    shared_by: Literal["processes", "itself", "nobody"] = "processes"
    #: Whether ``--checkpoint`` must be given.
    takes_checkpoints = True

    def flags(self, parser: argparse.ArgumentParser) -> None:  # noqa: B027
        """Add the benchmark's own flags. Their values are read in :meth:`open`."""

    @abstractmethod
    def open(self, args: argparse.Namespace, checkpoints: Mapping[str, Path]) -> list[Job]:
        """Check everything that can be checked without running, and expand it into jobs.

        ``checkpoints`` are canonical. :class:`benchmarks.errors.InputError` for what cannot be used. Nothing is
        written, but for scale ``mini`` the shapes world where there is no data.
        """

    def lines(self) -> list[str]:
        """For people: what all jobs have in common."""
        return []

    def require(self) -> None:  # noqa: B027
        """:class:`benchmarks.errors.InputError` where this machine cannot run the jobs; a dry run does not ask."""

    @abstractmethod
    def run(self, job: Job, folder: Path, launch: Launch) -> dict[str, Any]:
        """Do ``job`` in this process, going on from what is in ``folder``.

        Returns ``metrics``, ``run`` and perhaps ``interval``, as they go into the record, and ``checkpoint`` where the
        job made it. Of several processes only the first one's result counts.
        """

    @abstractmethod
    def device(self) -> str:
        """What jobs run on, for their records."""

    def draw(self, folders: Mapping[Job, Path], pictures: Path) -> None:  # noqa: B027
        """Draw finished jobs from what they left in their folders."""

    def sheets(self, records: Sequence[Mapping[str, Any]]) -> list[Sheet]:
        """The tables; the paper's first."""
        return [sheet(self.table, records)]
