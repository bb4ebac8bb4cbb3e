"""The one JSON file: parts run one by one in processes of their own, and what each found is kept at once."""

from __future__ import annotations

import contextlib
import datetime
import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.core.environment import suite_code
from benchmarks.errors import InputError
from benchmarks.files import read_json, write_json

SCHEMA = 1
Row = dict[str, Any]


@dataclass(frozen=True)
class Size:
    """How large a part is, ``tiny`` for a CPU in seconds, and an empty ``folder`` of its own, removed after it."""

    tiny: bool
    folder: Path
    peak_tflops: float | None = None  # of the device in bf16, where its name is in no table


class Part(NamedTuple):
    """What to measure, and how long it may take on a GPU."""

    run: Callable[[Size], Iterator[Row]]
    budget_s: float


def open_book(path: Path, tiny: bool) -> dict[str, Any]:
    """The file's content, or that of a new one; :class:`InputError` where it is something else."""
    if not path.exists():
        return {"schema": SCHEMA, "tiny": tiny, "parts": {}}
    book = read_json(path, "file of device measurements")
    if not isinstance(book, dict) or book.get("schema") != SCHEMA or not isinstance(book.get("parts"), dict):
        raise InputError(f"{path} is no file of device measurements of schema {SCHEMA}: choose another --out")
    if book.get("tiny") != tiny:
        raise InputError(f"{path} was made {'without' if tiny else 'with'} --tiny: choose another --out")
    return book


def is_done(book: dict[str, Any], name: str) -> bool:
    return book["parts"].get(name, {}).get("status") == "done"


def measure(path: Path, book: dict[str, Any], name: str, part: Part, size: Size) -> bool:
    """Run one part and write what it found, whole, failed or cut off at its budget; whether it is whole."""
    start, begun = datetime.datetime.now(datetime.timezone.utc), time.monotonic()
    rows, status, error = _in_a_process(part, size)
    code = suite_code()
    book["parts"][name] = {
        "status": status,
        "error": error,
        "started": start.isoformat(timespec="seconds"),
        "commit": code["commit"],
        "dirty": code["dirty"],
        "wall_s": round(time.monotonic() - begun, 2),
        "budget_s": part.budget_s,
        "rows": rows,
    }
    write_json(path, book)
    return status == "done"


def _in_a_process(part: Part, size: Size) -> tuple[list[Row], str, str | None]:
    """Rows, ``done``, ``failed`` or ``over budget``, and the error's line.

    A fork that leads a process group: what it starts ends with it, and an illegal access to the GPU's memory, which
    spoils a process for good, spoils no other part. The parent must not have touched CUDA.
    """
    lines = size.folder / "rows.jsonl"
    process = multiprocessing.get_context("fork").Process(target=_collect, args=(part, size, lines))
    process.start()
    with contextlib.suppress(OSError):
        os.setpgid(process.pid, process.pid)
    try:
        process.join(part.budget_s)
        late = process.is_alive()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.join()
    written = lines.read_text().splitlines() if lines.exists() else []
    found = [json.loads(line) for line in written if line.endswith("}")]  # the last may have been cut short
    ends = [row["error"] for row in found if "end" in row]
    rows = [row for row in found if "end" not in row]
    if late:
        return rows, "over budget", f"stopped after {part.budget_s:g} s"
    if not ends:
        return rows, "failed", f"the process ended with exit code {process.exitcode} and said nothing"
    return rows, "failed" if ends[-1] else "done", ends[-1]


def _collect(part: Part, size: Size, lines: Path) -> None:
    with contextlib.suppress(OSError):
        os.setpgid(0, 0)
    with open(lines, "a", encoding="utf-8", buffering=1) as stream:
        error = None
        try:
            with contextlib.redirect_stdout(sys.stderr):
                for row in part.run(size):
                    stream.write(json.dumps(row) + "\n")
        except BaseException as fault:
            error = " ".join(f"{type(fault).__name__}: {fault}".split())[:500]
        stream.write(json.dumps({"end": True, "error": error}) + "\n")
