"""A result is its record: one JSON a run, complete enough to repeat it. Tables are rendered from results alone.

``docs/records.md`` says of every field what it means and in which unit.
"""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import json
import os
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.core.attribution import Attribution
from benchmarks.core.environment import command_line, device_text, suite_code, versions
from benchmarks.core.model import Model
from benchmarks.errors import InputError
from benchmarks.files import atomic_path, read_json

RECORD_VERSION = 3

#: The fields that such an object must have, each with its type.
INNER: dict[str, dict[str, Any]] = {
    "checkpoint": {"sha256": str, "card": dict},
    "attribution": {"method": str, "epochs": (int, type(None)), "data": str, "source": str},
    "data": {"name": str, "files": int, "annotations_sha256": str, "images_sha256": str},
    "code": {"version": str, "commit": (str, type(None)), "dirty": (bool, type(None))},
}
#: What ``interval`` holds where it is not empty.
INTERVAL = {"level": float, "over": str, "units": int, "resamples": int, "seed": int, "values": dict}

SCALES = ("paper", "mini")

#: What each version had not yet: field -> the value that stands for it.
SINCE: dict[int, dict[str, Any]] = {
    2: {"job": "", "study": "", "interval": {}, "artefacts": ""},
    3: {"task": "", "task_version": 0, "settings": {}, "attribution": Attribution().to_dict()},
}


@dataclass(frozen=True)
class Result:
    """One run: what was judged by what, on what, with what, and what came out."""

    benchmark: str
    protocol: str
    scale: str
    name: str
    metrics: dict[str, Any]
    run: dict[str, Any]
    seed: int
    checkpoint: dict[str, Any]
    data: dict[str, Any]
    started: str
    seconds: float
    task: str = ""
    task_version: int = 0
    settings: dict[str, Any] = field(default_factory=dict)
    attribution: dict[str, Any] = field(default_factory=lambda: Attribution().to_dict())
    interval: dict[str, Any] = field(default_factory=dict)
    job: str = ""
    study: str = ""
    artefacts: str = ""
    device: str = ""
    libraries: dict[str, str] = field(default_factory=versions)
    code: dict[str, Any] = field(default_factory=suite_code)
    command: list[str] = field(default_factory=lambda: list(command_line()))
    record_version: int = RECORD_VERSION

    def to_dict(self) -> dict[str, Any]:
        """The record as JSON gives it back."""
        return typing.cast(dict[str, Any], json.loads(json.dumps(dataclasses.asdict(self), allow_nan=False)))

    @staticmethod
    def from_dict(record: Any, where: str) -> Result:
        """A record of any version; :class:`InputError` names what is missing, unknown or of a wrong type."""
        content = _upgraded(record, where)
        wrong = list(_faults(content))
        if wrong:
            raise InputError(f"{where}: fields missing, unknown or of a wrong type: {', '.join(dict.fromkeys(wrong))}")
        return Result(**content)

    @property
    def whose(self) -> Attribution:
        """What is known about the weights' origin."""
        return Attribution.of(self.attribution)

    @property
    def architecture(self) -> dict[str, Any]:
        """The network, from the checkpoint's card."""
        return typing.cast(dict[str, Any], self.checkpoint["card"]["architecture"])

    @property
    def path(self) -> Path:
        """Its file's name: a job has one name, any other run a name of its own."""
        last = self.job
        if not last:
            stamp = "".join(c for c in self.started[:19] if c.isdigit())
            last = f"{stamp}-{hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()[:8]}"
        return Path(f"{self.benchmark}-{self.name}-seed{self.seed}-{last}.json")

    def write(self, folder: str | os.PathLike[str]) -> Path:
        """Write it into ``folder``, whole or not at all; :class:`InputError` where its job has a record already."""
        Result.from_dict(self.to_dict(), "a new record")
        path = Path(folder) / self.path
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(self.to_dict(), indent=2, allow_nan=False) + "\n", encoding="utf-8")
            # Not the rename that atomic_path makes when it is left: that one would overwrite.
            with open(temporary, "rb") as stream:
                os.fsync(stream.fileno())
            try:
                os.link(temporary, path)
            except FileExistsError:
                raise InputError(f"{path} is there already: a job has one record") from None
            except OSError:  # a file system without hard links
                if path.exists():
                    raise InputError(f"{path} is there already: a job has one record") from None
        return path


def free_result(
    model: Model,
    benchmark: str,
    protocol: str,
    metrics: dict[str, Any],
    run: dict[str, Any],
    data: dict[str, Any],
    seed: int,
    started: datetime.datetime,
    device: str = "cpu",
) -> Result:
    """The record of a run that is no job, such as a figure's, from ``started`` to now. Its scale is ``mini``."""
    return Result(
        benchmark, protocol, "mini", model.name, metrics, run, seed,
        {"sha256": model.sha256, "card": model.card.to_dict()}, data, started.isoformat(timespec="seconds"),
        seconds_since(started), attribution=model.attribution.to_dict(), device=device_text(device),
    )  # fmt: skip


def seconds_since(started: datetime.datetime) -> float:
    """Seconds of wall time from ``started`` to now."""
    return (datetime.datetime.now(datetime.timezone.utc) - started).total_seconds()


def read_result(path: str | os.PathLike[str]) -> Result:
    """One record; :class:`InputError` names the file and its fault."""
    return Result.from_dict(read_json(path, "record"), str(path))


def read_results(folder: str | os.PathLike[str]) -> list[Result]:
    """Every record of ``folder``, oldest first; :class:`InputError` names a file that is none."""
    return sorted((result for _, result in stored_results(folder)), key=lambda result: result.started)


def stored_results(folder: str | os.PathLike[str]) -> Iterator[tuple[Path, Result]]:
    """Every record of ``folder`` with its file, by file name. What begins with a dot is being written."""
    for path in sorted(Path(folder).glob("*.json")):
        if not path.name.startswith("."):
            yield path, read_result(path)


def _upgraded(record: Any, where: str) -> dict[str, Any]:
    """A record of an older version as one of :data:`RECORD_VERSION`; :class:`InputError` for one that is newer."""
    version = record.get("record_version") if isinstance(record, dict) else None
    if type(version) is not int or version < 1:
        raise InputError(f"{where} is no record: it has no record_version")
    if version > RECORD_VERSION:
        raise InputError(
            f"{where} is a record of version {version}, and this suite reads up to {RECORD_VERSION}: update the suite"
        )
    content: dict[str, Any] = dict(record)
    for since, values in SINCE.items():
        if version < since:
            content |= values
    if version < 3:
        for name, missing in (("data", {"images_sha256": ""}), ("code", {"version": ""})):
            if isinstance(content.get(name), dict):
                content[name] = content[name] | missing
    return content | {"record_version": RECORD_VERSION}


def _faults(content: Mapping[str, Any]) -> Iterator[str]:
    """The dotted names of what is missing, surplus or of another type."""
    hints = typing.get_type_hints(Result)
    yield from _differences(content, {name: typing.get_origin(hint) or hint for name, hint in hints.items()}, "")
    for name, fields in INNER.items():
        if isinstance(content.get(name), dict):
            yield from _differences(content[name], fields, f"{name}.")
    if isinstance(content.get("interval"), dict) and content["interval"]:
        yield from _differences(content["interval"], INTERVAL, "interval.")
    if content.get("scale") not in SCALES:
        yield "scale"
    try:
        datetime.datetime.fromisoformat(content["started"])
    except (KeyError, TypeError, ValueError):
        yield "started"


def _differences(value: Mapping[str, Any], fields: Mapping[str, Any], prefix: str) -> Iterator[str]:
    for name in sorted(fields.keys() ^ value.keys()):
        yield prefix + name
    for name in sorted(fields.keys() & value.keys()):
        kind, own = fields[name], value[name]
        if isinstance(own, int) and not isinstance(own, bool) and kind is float and name == "seconds":
            continue  # JSON does not tell 3.0 from 3
        if not isinstance(own, kind) or (isinstance(own, bool) and not _bool(kind)):
            yield prefix + name


def _bool(kind: Any) -> bool:
    return bool in kind if isinstance(kind, tuple) else kind is bool
