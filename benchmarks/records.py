"""Result records: one JSON a run, complete enough to repeat it. Tables are rendered from records alone.

``docs/records.md`` says of every field what it means and in which unit.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import importlib.metadata
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

from benchmarks.checkpoints.canonical import read_canonical
from benchmarks.engines.mmcv_ops import operators
from benchmarks.errors import InputError
from benchmarks.files import atomic_path, read_json, sha256_of
from benchmarks.provenance import code, version

RECORD_VERSION = 2

#: Field -> type, or the fields that such an object must have, each with its type. ``metrics`` and ``run`` are the
#: benchmark's own; everything else is the same for all.
FIELDS: dict[str, Any] = {
    "record_version": int,
    "job": str,
    "study": str,
    "benchmark": str,
    "protocol": str,
    "scale": str,
    "name": str,
    "metrics": dict,
    "interval": dict,
    "run": dict,
    "seed": int,
    "checkpoint": {"sha256": str, "card": dict},
    "data": {"name": str, "files": int, "annotations_sha256": str},
    "libraries": dict,
    "code": {"commit": (str, type(None)), "dirty": (bool, type(None))},
    "command": list,
    "artefacts": str,
    "device": str,
    "started": str,
    "seconds": (int, float),
}
#: What ``interval`` holds where it is not empty.
INTERVAL = {"level": float, "over": str, "units": int, "resamples": int, "seed": int, "values": dict}

SCALES = ("paper", "mini")

#: What version 1 had not.
SINCE_2: dict[str, Any] = {"job": "", "study": "", "interval": {}, "artefacts": ""}

LIBRARIES = (
    "torch",
    "torchvision",
    "timm",
    "onedl-mmcv",
    "onedl-mmdetection",
    "onedl-mmengine",
    "onedl-mmsegmentation",
    "detectron2",
    "scikit-learn",
    "pycocotools",
    "numpy",
)


def make_record(
    benchmark: str,
    protocol: str,
    scale: str,
    name: str,
    checkpoint: str | os.PathLike[str],
    data: dict[str, Any],
    result: dict[str, Any],
    seed: int,
    started: datetime.datetime,
    device: str = "cpu",
    job: str = "",
    study: str = "",
    artefacts: str = "",
) -> dict[str, Any]:
    """A record of ``result`` (``metrics``, ``run``, perhaps ``interval``) on ``checkpoint``, from ``started`` to now.

    The last three are for a table's driver: the hashes of the job and of its study (the job without its seed), and the
    run's folder relative to the folder above ``records``.
    """
    _, card = read_canonical(checkpoint)
    return {
        "record_version": RECORD_VERSION,
        "job": job,
        "study": study,
        "benchmark": benchmark,
        "protocol": protocol,
        "scale": scale,
        "name": name,
        "metrics": result["metrics"],
        "interval": result.get("interval", {}),
        "run": result["run"],
        "seed": seed,
        "checkpoint": {"sha256": sha256_of(checkpoint), "card": card.to_dict()},
        "data": data,
        "libraries": _versions(),
        "code": code(),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "artefacts": artefacts,
        "device": device if device != "cpu" else f"cpu, {platform.machine()}, {os.cpu_count()} cores",
        "started": started.isoformat(timespec="seconds"),
        "seconds": (datetime.datetime.now(datetime.timezone.utc) - started).total_seconds(),
    }


def record_path(folder: str | os.PathLike[str], record: dict[str, Any]) -> Path:
    """Where ``record`` belongs in ``folder``: a job has one name, any other run a name of its own."""
    last = record["job"]
    if not last:
        stamp = "".join(c for c in record["started"][:19] if c.isdigit())
        last = f"{stamp}-{hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()[:8]}"
    return Path(folder) / f"{record['benchmark']}-{record['name']}-seed{record['seed']}-{last}.json"


def write_record(folder: str | os.PathLike[str], record: dict[str, Any]) -> Path:
    """Validate ``record`` and write it into ``folder``, whole or not at all; none overwrites another.

    :class:`InputError` where the job has a record already.
    """
    validate(record, "a new record")
    path = record_path(folder, record)
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(record, indent=2, allow_nan=False) + "\n", encoding="utf-8")
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


def read_record(path: str | os.PathLike[str]) -> dict[str, Any]:
    """One record, brought to today's version; :class:`InputError` names the file and its fault."""
    record = upgrade(read_json(path, "record"), str(path))
    validate(record, str(path))
    return record


def read_records(folder: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Every record of ``folder``, oldest first; :class:`InputError` names a file that is none."""
    return sorted((record for _, record in stored_records(folder)), key=lambda record: record["started"])


def stored_records(folder: str | os.PathLike[str]) -> list[tuple[Path, dict[str, Any]]]:
    """Every record of ``folder`` with its file, by file name. What begins with a dot is being written."""
    paths = sorted(path for path in Path(folder).glob("*.json") if not path.name.startswith("."))
    return [(path, read_record(path)) for path in paths]


def upgrade(record: Any, where: str) -> dict[str, Any]:
    """A record of an older version as one of :data:`RECORD_VERSION`; :class:`InputError` for one that is newer."""
    version = record.get("record_version") if isinstance(record, dict) else None
    if type(version) is not int or version < 1:
        raise InputError(f"{where} is no record: it has no record_version")
    if version > RECORD_VERSION:
        raise InputError(
            f"{where} is a record of version {version}, and this suite reads up to {RECORD_VERSION}: update the suite"
        )
    return record | SINCE_2 | {"record_version": RECORD_VERSION} if version == 1 else record


def validate(record: dict[str, Any], where: str) -> None:
    """:class:`InputError` unless ``record`` has exactly the documented fields, each of its type."""
    wrong = _faults(record, FIELDS, "")
    if record.get("interval") and "interval" not in wrong:
        wrong += _faults(record["interval"], INTERVAL, "interval.")
    if record.get("scale") not in SCALES:
        wrong.append("scale")
    with contextlib.suppress(KeyError, TypeError):
        try:
            datetime.datetime.fromisoformat(record["started"])
        except ValueError:
            wrong.append("started")
    if wrong:
        raise InputError(f"{where}: fields missing, unknown or of a wrong type: {', '.join(dict.fromkeys(wrong))}")


def _faults(value: dict[str, Any], fields: dict[str, Any], prefix: str) -> list[str]:
    """The dotted names of what is missing, surplus or of another type."""
    found = [prefix + name for name in sorted(fields.keys() ^ value.keys())]
    for name in fields.keys() & value.keys():
        kind, own = fields[name], value[name]
        if isinstance(kind, dict) and isinstance(own, dict):
            found += _faults(own, kind, f"{prefix}{name}.")
        elif isinstance(kind, dict) or not isinstance(own, kind) or (kind is int and isinstance(own, bool)):
            found.append(prefix + name)
    return found


def fingerprint(root: Path, annotations: list[Path]) -> dict[str, Any]:
    """What identifies a data set: its folder's name, its number of files, the SHA-256 over its annotation files."""
    digest = hashlib.sha256()
    for path in sorted(annotations):
        digest.update(path.name.encode() + bytes.fromhex(sha256_of(path)))
    files = sum(path.is_file() for path in root.rglob("*"))
    return {"name": root.name, "files": files, "annotations_sha256": digest.hexdigest()}


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    found["flsl-benchmarks"] = version()
    if source := operators():
        found["mmcv operators"] = source
    return found
