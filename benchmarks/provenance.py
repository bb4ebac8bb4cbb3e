"""Which version of this suite computed something: for records."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
from pathlib import Path
from typing import Any

import benchmarks

ROOT = Path(__file__).resolve().parents[1]


def version() -> str:
    """The suite's version number."""
    return benchmarks.__version__


def code() -> dict[str, Any]:
    """The suite's git ``commit`` and whether its files are ``dirty``; None where nobody can say.

    A checkout is asked itself. Installed by ``pip install git+https://...`` the commit is the one that pip wrote down.
    A repository of the user's, in which the suite is installed, is never asked.
    """
    if not (ROOT / ".git").exists():
        return {"commit": _installed_commit(), "dirty": None}
    status = _git("status", "--porcelain")
    return {"commit": _git("rev-parse", "HEAD"), "dirty": None if status is None else bool(status)}


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _installed_commit() -> str | None:
    """The commit in what pip wrote beside the installed files (PEP 610)."""
    for distribution in importlib.metadata.distributions(name="flsl-benchmarks", path=[str(ROOT)]):
        origin = json.loads(distribution.read_text("direct_url.json") or "{}")
        return origin.get("vcs_info", {}).get("commit_id")
    return None
