"""The run's own records: ``log.jsonl`` (what was computed), ``timing.jsonl`` (how fast), TensorBoard.

A line of ``log.jsonl`` depends on the run alone, not on when or in how many sittings it was made: a run that was
interrupted and resumed has the log of one that was not, byte by byte.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

from benchmarks.files import write_text


class RunLog:
    """Open for the process that writes it. ``step`` is where the run (re)starts: later lines are cut off."""

    def __init__(self, out: Path, step: int, tensorboard: bool) -> None:
        self.log, self.timing = out / "log.jsonl", out / "timing.jsonl"
        out.mkdir(parents=True, exist_ok=True)
        for path in (self.log, self.timing):
            _cut(path, step)
        self.board = _tensorboard(out / "tensorboard", step) if tensorboard else None

    def write(self, entry: dict[str, Any], timing: dict[str, float]) -> None:
        """Append one line to each file; both have ``step``. A number that is not finite becomes null."""
        for path, line in ((self.log, entry), (self.timing, {"step": entry["step"], **timing})):
            plain = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in line.items()}
            with open(path, "a", encoding="utf-8") as stream:
                stream.write(json.dumps(plain, allow_nan=False) + "\n")
        if self.board is not None:
            for group, line in (("train", entry), ("speed", timing)):
                for name, value in line.items():
                    if isinstance(value, (int, float)) and name != "step":
                        self.board.add_scalar(f"{group}/{name}", value, entry["step"])
            self.board.flush()

    def close(self) -> None:
        if self.board is not None:
            self.board.close()


def _cut(path: Path, step: int) -> None:
    """Drop what was written after ``step``, and a last line that a kill cut short."""
    if not path.exists():
        return
    lines = path.read_text(encoding="utf-8").splitlines()
    kept = []
    for line in lines:
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line)
        except ValueError:
            continue
    write_text(path, "".join(line + "\n" for line in kept))


def _tensorboard(folder: Path, step: int):
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        print("note: the tensorboard package is not installed: only log.jsonl is written", file=sys.stderr)
        return None
    return SummaryWriter(folder, purge_step=step + 1)
