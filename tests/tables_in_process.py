"""A whole table in this process: the driver's jobs one after the other, then its table."""

from __future__ import annotations

import re

from in_process import Done, run_tool


def job_names(tool: str, *arguments: object) -> list[str]:
    """The hashes that ``--dry-run`` lists."""
    done = run_tool(tool, *arguments, "--dry-run")
    assert done.returncode == 0, done.stderr
    return re.findall(r"^job ([0-9a-f]{10}): ", done.stdout, re.MULTILINE)


def run_table(tool: str, *arguments: object) -> Done:
    """Every job with ``--job``, then the command itself, which finds them done."""
    for name in job_names(tool, *arguments):
        done = run_tool(tool, *arguments, "--job", name)
        assert done.returncode == 0, done.stderr
    return run_tool(tool, *arguments)
