"""Run a command of ``tools/`` in this process: the same code and exit code, without starting Python and torch anew."""

from __future__ import annotations

import contextlib
import io
import runpy
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple
from unittest import mock

TOOLS = Path(__file__).resolve().parents[1] / "tools"


class Done(NamedTuple):
    """What a finished command left behind."""

    returncode: int
    stdout: str
    stderr: str


def run_tool(name: str, *arguments: object) -> Done:
    """``python tools/NAME ARGUMENTS``."""
    return _run(name, arguments, lambda: runpy.run_path(str(TOOLS / name), run_name="__main__"))


def run_suite(*arguments: object) -> Done:
    """``python -m benchmarks ARGUMENTS``."""
    return _run("benchmarks", arguments, lambda: runpy.run_module("benchmarks", run_name="__main__"))


def _run(name: str, arguments: Iterable[object], main: Callable[[], object]) -> Done:
    out, err = io.StringIO(), io.StringIO()
    code = 0
    with mock.patch.object(sys, "argv", [name, *map(str, arguments)]):
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                main()
            except SystemExit as end:
                code = end.code or 0
    return Done(code, out.getvalue(), err.getvalue())
