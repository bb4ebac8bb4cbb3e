"""What a run ran with: versions of libraries, and the suite's own version and commit."""

from __future__ import annotations

import functools
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import benchmarks
from benchmarks.devices import explain
from benchmarks.engines.mmcv_ops import operators

SUITE = "flsl-benchmarks"
ROOT = Path(__file__).resolve().parents[2]

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


def version_of(name: str) -> str | None:
    """The installed version of a distribution; None where it is not there."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def versions() -> dict[str, str]:
    """Python and every library of :data:`LIBRARIES` that is there -> version; whose operators mmcv uses, if it is."""
    found = {name: version_of(name) for name in LIBRARIES}
    found |= {"python": platform.python_version(), "mmcv operators": operators()}
    return {name: version for name, version in found.items() if version}


@functools.cache
def _commit() -> tuple[str | None, bool | None]:
    # The user's own repository may lie around an installed suite: only a checkout of the suite itself counts.
    if not (ROOT / ".git").exists() or not (ROOT / "benchmarks" / "core").is_dir():
        return _installed_commit(), None

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            return None
        return done.stdout.strip()

    status = git("status", "--porcelain")
    return git("rev-parse", "HEAD"), None if status is None else bool(status)


def _installed_commit() -> str | None:
    for distribution in importlib.metadata.distributions(name=SUITE, path=[str(ROOT)]):
        origin = json.loads(distribution.read_text("direct_url.json") or "{}")
        commit: str | None = origin.get("vcs_info", {}).get("commit_id")
        return commit
    return None


def suite_code() -> dict[str, Any]:
    """``version``, ``commit`` and ``dirty`` of the suite; the last two are None where nobody can say.

    Installed by ``pip install git+https://...``, the commit is the one that pip wrote down (PEP 610).
    """
    commit, dirty = _commit()
    return {"version": benchmarks.__version__, "commit": commit, "dirty": dirty}


def command_line() -> tuple[str, ...]:
    """The command line of this process, without the path to its program."""
    return (Path(sys.argv[0]).name, *sys.argv[1:])


def device_text(device: str) -> str:
    """A device for a record: a CPU with its type and cores, a GPU with its name."""
    if device == "cpu":
        return f"cpu, {platform.machine()}, {os.cpu_count()} cores"
    return explain(device) if device.startswith("cuda") else device
