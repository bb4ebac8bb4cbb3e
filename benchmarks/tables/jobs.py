"""A job: one run of one checkpoint with one seed, known by what decides its result."""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.checkpoints.canonical import read_canonical
from benchmarks.checkpoints.card import Card
from benchmarks.claim import LOCK, holder
from benchmarks.files import read_json, sha256_of
from benchmarks.records import stored_records
from benchmarks.tables.paper import Table, architecture_name

#: Hexadecimal digits of a job's name.
DIGITS = 10

MARK = "job.json"


@dataclass(frozen=True, eq=False)
class Job:
    """What to run. ``arguments`` are the options (as argparse names them) that ask for this job alone."""

    table: Table
    protocol: str
    scale: str
    name: str
    seed: int
    checkpoint: Path | None  # None: the job makes it
    checkpoint_sha256: str
    data: Mapping[str, Any]  # the data set's fingerprint
    config: str  # hash of the configuration
    options: Mapping[str, Any]  # whatever else changes the result
    arguments: Mapping[str, Any] = field(default_factory=dict)
    backbone: str = ""
    details: tuple[str, ...] = ()  # for people: the schedule and the like

    @property
    def identity(self) -> dict[str, Any]:
        """Everything that the result depends on: the same identity is the same job, done once."""
        return {
            "benchmark": self.table.benchmark,
            "version": self.table.version,
            "protocol": self.protocol,
            "scale": self.scale,
            "name": self.name,
            "checkpoint": self.checkpoint_sha256,
            "seed": self.seed,
            "data": dict(self.data),
            "config": self.config,
            "options": dict(self.options),
        }

    @property
    def hash(self) -> str:
        """Its short name."""
        return digest(self.identity)[:DIGITS]

    @property
    def study(self) -> str:
        """What its seeds have in common."""
        return digest({k: v for k, v in self.identity.items() if k != "seed"})[:DIGITS]

    @property
    def label(self) -> str:
        """What its folder is called; no other job's is."""
        return f"{self.name}-seed{self.seed}-{self.hash}"

    @property
    def hours(self) -> float | None:
        """GPU-hours, where a figure is known."""
        known = self.table.costs.get(self.backbone, self.table.costs.get(""))
        return known.gpu_hours if known and self.scale == "paper" else None

    def state(self, out: Path, done: Mapping[str, Path]) -> str:
        """``done``, ``running: ...``, ``half done`` or ``missing``; ``done`` is what :func:`recorded` gives."""
        folder = out / self.label
        if self.hash in done:
            return "done"
        if who := holder(folder):
            return f"running: {who}"
        begun = folder.is_dir() and any(path.name not in (LOCK, MARK) for path in folder.iterdir())
        return "half done" if begun else "missing"


@dataclass(frozen=True)
class Setup:
    """How one checkpoint is judged; fields as in :class:`Job`."""

    protocol: str
    config: str
    options: Mapping[str, Any] = field(default_factory=dict)
    variant: str = ""  # goes to the name: a variant never shares its row with the right one
    details: tuple[str, ...] = ()


def expand(
    table: Table,
    args: argparse.Namespace,
    checkpoints: Mapping[str, Path],
    data: Mapping[str, Any],
    setup: Callable[[Path, Card], Setup],
    seeded: bool = True,
) -> list[Job]:
    """A job for each checkpoint and, if ``seeded``, each of ``args.seeds``; ``setup`` sees each checkpoint once."""
    jobs = []
    for name, checkpoint in checkpoints.items():
        card, sha256 = read_canonical(checkpoint)[1], sha256_of(checkpoint)
        own = setup(checkpoint, card)
        backbone = architecture_name(card.to_dict()["architecture"])
        for seed in dict.fromkeys(args.seeds if seeded else [0]):
            alone = {"checkpoint": [f"{name}={checkpoint}"], "seeds": [seed]}
            jobs.append(
                Job(table, own.protocol, args.scale, name + own.variant, seed, checkpoint, sha256, data, own.config,
                    own.options, alone, backbone, own.details)
            )  # fmt: skip
    return jobs


def digest(value: Any) -> str:
    """The SHA-256 of plain data."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def config_digest(*files: Path) -> str:
    """The SHA-256 of config files and of the ones beside them that they name as their base."""
    found = hashlib.sha256()
    for file in files:
        text = file.read_text(encoding="utf-8")
        found.update(text.encode())
        for other in sorted(file.parent.glob("*.py")):
            if other != file and f"./{other.name}" in text:
                found.update(config_digest(other).encode())
    return found.hexdigest()


def recorded(out: Path) -> dict[str, Path]:
    """Hash of each job that has a record under ``out`` -> the record."""
    return {record["job"]: path for path, record in stored_records(out / "records") if record["job"]}


def devices_of(folder: Path) -> int | None:
    """On how many devices the job in ``folder`` was begun; None where none was."""
    mark = folder / MARK
    return read_json(mark, "mark of a job").get("devices") if mark.is_file() else None
