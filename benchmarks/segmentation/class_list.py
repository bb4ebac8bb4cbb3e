"""``classes.txt``: the name of label 0 in the first line, and so on."""

from __future__ import annotations

import re
from pathlib import Path

from benchmarks.errors import InputError
from benchmarks.files import require_file
from benchmarks.segmentation.faults import VOID

_NUMBERED = re.compile(r"(\d+)[\s:,;.)-]")


def read_classes(file: Path) -> tuple[str, ...]:
    """The names in ``file``, UTF-8 with or without a byte order mark, any line ends; empty lines at the end are none.

    Only line ends part lines, not what Unicode calls a separator.

    :class:`InputError` for whatever would give a label another class's name: comments, empty lines, names twice, and
    numbers that are not the labels.
    """
    try:
        lines = require_file(file, "class list").read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{file} is not UTF-8 text ({error.reason}): save it as such, one class name a line"
        ) from error
    names = [line.strip() for line in lines]
    while names and not names[-1]:
        names.pop()
    if fault := _fault(names):
        raise InputError(f"{file} {fault}: it needs one name a line, label 0 first, {VOID} at most")
    return tuple(names)


def _fault(names: list[str]) -> str | None:
    if not names:
        return "lists no class"
    if "" in names:
        return f"has an empty line {names.index('') + 1}"
    if comments := [number for number, name in enumerate(names, 1) if name.startswith("#")]:
        return f"has a comment in line {comments[0]}, which would be the name of label {comments[0] - 1}"
    numbers = [int(found[1]) if (found := _NUMBERED.match(name)) else None for name in names]
    if None not in numbers and numbers != list(range(len(names))):
        return f"numbers its lines from {numbers[0]} to {numbers[-1]}, and line 1 is label 0 whatever it says"
    if twice := sorted({name for name in names if names.count(name) > 1}):
        return f"names {', '.join(twice)} twice"
    return f"lists {len(names)} classes" if len(names) > VOID else None
