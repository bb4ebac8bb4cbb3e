"""A job: one task on one model with one seed, known by what decides its number, passed on as a JSON file."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.checkpoints.canonical import read_canonical
from benchmarks.checkpoints.card import Card
from benchmarks.claim import LOCK, holder
from benchmarks.core.attribution import Attribution
from benchmarks.core.data import Fingerprint
from benchmarks.core.environment import command_line
from benchmarks.core.model import Model
from benchmarks.core.result import stored_results
from benchmarks.core.task import Launch, Task
from benchmarks.errors import InputError
from benchmarks.files import read_json, write_json

#: Hexadecimal digits of a job's name.
DIGITS = 10

#: The file of a job in its folder.
JOB_FILE = "job.json"


@dataclass(frozen=True, eq=False)
class Job:
    """What to run. ``checkpoint`` is the canonical file; "" for a model in memory or one that the job makes."""

    task: str
    task_version: int
    benchmark: str
    protocol: str
    scale: str
    name: str
    seed: int
    checkpoint: str
    checkpoint_sha256: str
    attribution: Mapping[str, Any]
    settings: Mapping[str, Any]  # every field
    deciding: Mapping[str, Any]  # those that decide the number
    resolved: Mapping[str, Any]  # what they were resolved to, such as an engine's whole config
    data_root: str
    fingerprint: Mapping[str, Any]
    device: str = "auto"
    launch: Mapping[str, Any] = field(default_factory=dict)
    details: tuple[str, ...] = ()  # for people: the schedule and the like
    command: tuple[str, ...] = field(default_factory=command_line)  # that planned it

    @property
    def identity(self) -> dict[str, Any]:
        """Everything that decides the number and nothing else: the same identity is the same job, done once.

        No path, no name, no way of launching, no date takes part.
        """
        return {
            "task": self.task,
            "version": self.task_version,
            "scale": self.scale,
            "checkpoint": self.checkpoint_sha256,
            "seed": self.seed,
            "data": Fingerprint(**self.fingerprint).identity,
            "settings": dict(self.deciding),
            "resolved": dict(self.resolved),
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
        return f"{self.name}-{self.task}-seed{self.seed}-{self.hash}"

    @property
    def devices(self) -> int:
        """Processes that share it."""
        return Launch(**self.launch).devices

    def state(self, out: Path, done: Mapping[str, Path]) -> str:
        """``done``, ``running: ...``, ``half done`` or ``missing``; ``done`` is what :func:`recorded` gives."""
        folder = out / self.label
        if self.hash in done:
            return "done"
        if who := holder(folder):
            return f"running: {who}"
        return "half done" if begun(folder) else "missing"

    def write(self, out: Path) -> Path:
        """Write its file into its folder; :class:`InputError` where it was begun on another number of devices."""
        folder = out / self.label
        if begun(folder) and (folder / JOB_FILE).is_file():
            before = read_job(folder / JOB_FILE).devices
            if before != self.devices:
                raise InputError(f"{folder} was begun on {before} devices: go on with as many, or remove it")
        write_json(folder / JOB_FILE, {**dataclasses.asdict(self), "identity": self.identity})
        return folder / JOB_FILE

    def model(self) -> Model | None:
        """The model of its checkpoint, its content compared with the one that was planned; None where it has none."""
        if not self.checkpoint:
            return None
        from benchmarks.files import sha256_of

        if sha256_of(self.checkpoint) != self.checkpoint_sha256:
            raise InputError(f"{self.checkpoint} has changed since the job was planned: start the command again")
        card: Card = read_canonical(self.checkpoint)[1]
        return Model(
            self.name, card, self.checkpoint_sha256, Path(self.checkpoint), None, Attribution(**self.attribution)
        )


def read_job(path: str | os.PathLike[str]) -> Job:
    """A job from its file; :class:`InputError` where it is none."""
    content = read_json(path, "file of a job")
    try:
        fields = {field.name for field in dataclasses.fields(Job)}
        values = {key: value for key, value in content.items() if key in fields}
        return Job(**{**values, "details": tuple(values["details"]), "command": tuple(values["command"])})
    except (AttributeError, KeyError, TypeError) as error:
        raise InputError(f"{path} is no file of a job ({error}): start the command again") from error


def make_job(
    task: Task[Any, Any],
    model: Model | None,
    name: str,
    scale: str,
    seed: int,
    settings: Mapping[str, Any],
    deciding: Mapping[str, Any],
    protocol: str,
    resolved: Mapping[str, Any],
    data_root: Path,
    mark: Fingerprint,
    launch: Launch,
    device: str,
    details: tuple[str, ...] = (),
) -> Job:
    """A job, every part of it as JSON gives it back."""
    plain = json.loads(json.dumps([settings, deciding, resolved, mark.to_dict()], default=str))
    started = {"launcher": launch.launcher, "gpus": launch.gpus, "nodes": launch.nodes}
    checkpoint = str(Path(model.checkpoint).resolve()) if model and model.checkpoint else ""
    return Job(
        task.name, task.version, task.benchmark, protocol, scale, name, seed, checkpoint, model.sha256 if model else "",
        (model.attribution if model else Attribution()).to_dict(), plain[0], plain[1], plain[2],
        str(data_root.resolve()), plain[3], device, started, details,
    )  # fmt: skip


def digest(value: Any) -> str:
    """The SHA-256 of plain data."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def recorded(out: Path) -> dict[str, Path]:
    """Hash of each job that has a record under ``out`` -> the record."""
    return {result.job: path for path, result in stored_results(out / "records") if result.job}


def begun(folder: Path) -> bool:
    """Whether a job left anything in its folder."""
    return folder.is_dir() and any(path.name not in (LOCK, JOB_FILE) for path in folder.iterdir())
