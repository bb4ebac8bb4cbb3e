"""Result records: one JSON a run, complete enough to repeat it. Tables are rendered from records alone."""

from __future__ import annotations

import datetime
import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.checkpoints.canonical import read_canonical
from benchmarks.errors import InputError
from benchmarks.files import read_json, sha256_of, write_json

RECORD_VERSION = 1

#: Field -> type. ``metrics`` and ``run`` are the benchmark's own; everything else is the same for all.
FIELDS: dict[str, type | tuple[type, ...]] = {
    "record_version": int,
    "benchmark": str,  # davis | knn | uavdt | ade20k | coco and its detectors | the figures
    "protocol": str,
    "scale": str,  # paper | mini: a mini record is never shown as a reproduction
    "name": str,  # what the user calls the checkpoint
    "metrics": dict,
    "run": dict,  # settings of the run, its config's name and hash among them where it has one
    "seed": int,
    "checkpoint": dict,  # sha256 of the canonical file, and its card
    "data": dict,  # root folder's name, files counted, sha256 of the annotations
    "libraries": dict,
    "code": dict,  # git commit, and whether files differed from it
    "command": list,
    "device": str,
    "started": str,  # UTC, ISO 8601
    "seconds": (int, float),
}

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
) -> dict[str, Any]:
    """A record of ``result`` (``metrics`` and ``run``) on ``checkpoint``, dated from ``started`` to now."""
    _, card = read_canonical(checkpoint)
    return {
        "record_version": RECORD_VERSION,
        "benchmark": benchmark,
        "protocol": protocol,
        "scale": scale,
        "name": name,
        "metrics": result["metrics"],
        "run": result["run"],
        "seed": seed,
        "checkpoint": {"sha256": sha256_of(checkpoint), "card": card.to_dict()},
        "data": data,
        "libraries": _versions(),
        "code": _code(),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "device": device if device != "cpu" else f"cpu, {platform.machine()}, {os.cpu_count()} cores",
        "started": started.isoformat(timespec="seconds"),
        "seconds": (datetime.datetime.now(datetime.timezone.utc) - started).total_seconds(),
    }


def write_record(folder: str | os.PathLike[str], record: dict[str, Any]) -> Path:
    """Validate ``record`` and write it to a name of its own in ``folder``; no record overwrites another."""
    validate(record, "a new record")
    digest = hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()[:8]
    stamp = "".join(c for c in record["started"][:19] if c.isdigit())
    path = Path(folder) / f"{record['benchmark']}-{record['name']}-seed{record['seed']}-{stamp}-{digest}.json"
    write_json(path, record)
    return path


def read_records(folder: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Every record of ``folder``, oldest first; :class:`InputError` names a file that is none."""
    records = []
    for path in sorted(Path(folder).glob("*.json")):
        record = read_json(path, "record")
        validate(record, str(path))
        records.append(record)
    return sorted(records, key=lambda record: record["started"])


def validate(record: Any, where: str) -> None:
    """:class:`InputError` unless ``record`` has exactly the documented fields, each of its type."""
    if not isinstance(record, dict) or record.get("record_version") != RECORD_VERSION:
        raise InputError(f"{where} is no record of version {RECORD_VERSION}")
    wrong = sorted(FIELDS.keys() ^ record.keys())
    wrong += [name for name, kind in FIELDS.items() if name in record and not isinstance(record[name], kind)]
    if wrong:
        raise InputError(f"{where}: fields missing, unknown or of a wrong type: {', '.join(wrong)}")


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
    return found


def _code() -> dict[str, Any]:
    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", *arguments], cwd=Path(__file__).parent, capture_output=True, text=True, check=True
            )
        except (OSError, subprocess.CalledProcessError):
            return None
        return done.stdout.strip()

    status = git("status", "--porcelain")
    return {"commit": git("rev-parse", "HEAD"), "dirty": None if status is None else bool(status)}
