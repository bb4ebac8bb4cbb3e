"""The text files of UAVDT's toolkit: rows of numbers, read with the file and the row of any fault, and written.

``Mxxxx_gt_whole.txt``  frame, id, left, top, width, height, out of view, occlusion, category
``Mxxxx_gt_ignore.txt`` frame, id, left, top, width, height, and three more that nothing reads
``Mxxxx.txt``           detections: frame, id, left, top, width, height, score, and more that nothing reads

Frames count from 1. Commas or white space part the numbers, as MATLAB's ``load`` takes either.
"""

from __future__ import annotations

import io
import os
import re
from pathlib import Path

import numpy as np

from benchmarks.errors import InputError
from benchmarks.files import require_file, write_text

FRAME, TARGET, LEFT, TOP, WIDTH, HEIGHT = range(6)
SCORE = 6  # of a detection
OUT_OF_VIEW, OCCLUSION, CATEGORY = 6, 7, 8  # of an object
BOX, SIZE = slice(LEFT, HEIGHT + 1), slice(WIDTH, HEIGHT + 1)
TRUTH_COLUMNS, IGNORE_COLUMNS, DETECTION_COLUMNS = 9, 6, 7


def read_rows(path: str | os.PathLike[str], columns: int, what: str) -> np.ndarray:
    """All rows of a file as float64 ``[N, C]``, ``C >= columns``; an empty file is ``[0, columns]``.

    Every value is finite, every frame a whole number from 1 on, no width or height negative, and all rows have
    the same number of columns, without which the toolkit does not load a file. Anything else is an
    :class:`InputError` that names file and row; rows are lines, counted from 1.
    """
    rows, text = read_numbers(path, columns, what)
    frames = rows[:, FRAME]
    refuse_row(path, text, (frames < 1) | (frames != np.floor(frames)), "does not begin with a whole number from 1 on")
    refuse_row(path, text, np.any(rows[:, SIZE] < 0, axis=1), "has a negative width or height")
    return rows


def read_numbers(path: str | os.PathLike[str], columns: int, what: str) -> tuple[np.ndarray, str]:
    """A file's rows of finite numbers, float64 ``[N, C]``, ``C >= columns``, and its text for :func:`refuse_row`.

    A comma at the end of a row, as some files of VisDrone have it, begins no column. :class:`InputError` as above.
    """
    path = require_file(path, what)
    try:
        text = path.read_bytes().removeprefix(b"\xef\xbb\xbf").decode("ascii")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no text file of numbers (byte {error.start} is not ASCII)") from error
    text = re.sub(r"(?<=[0-9.]),[ \t]*(?=\r?$)", "", text, flags=re.MULTILINE)
    if not text.strip():
        return np.empty((0, columns)), text
    delimiter = "," if "," in text else None
    try:
        rows = np.loadtxt(io.StringIO(text), delimiter=delimiter, comments=None, ndmin=2)
    except ValueError:
        rows = _read_slowly(path, text, delimiter, columns)
    short = np.full(len(rows), rows.shape[1] < columns)
    refuse_row(path, text, short, f"has {rows.shape[1]} columns, a {what} has {columns} or more")
    refuse_row(path, text, ~np.all(np.isfinite(rows), axis=1), "holds a value that is not finite")
    return rows, text


def refuse_beyond(path: str | os.PathLike[str], rows: np.ndarray, length: int) -> None:
    """:class:`InputError` with the first row of a file whose frame is after the sequence's last."""
    bad = rows[:, FRAME] > length
    if bad.any():
        frame = rows[np.flatnonzero(bad)[0], FRAME]
        refuse_row(path, Path(path).read_text(), bad, f"is of frame {frame:.0f}, the last is {length}")


def refuse_row(path: str | os.PathLike[str], text: str, bad: np.ndarray, why: str) -> None:
    """:class:`InputError` for the first row that is marked in ``bad``, by its line in the file's text."""
    if bad.any():
        lines = [(number, line) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
        number, line = lines[int(np.flatnonzero(bad)[0])]
        raise InputError(f"{path}, row {number} {why}: {_shown(line)}")


def write_detections(path: str | os.PathLike[str], frames: np.ndarray, boxes: np.ndarray, scores: np.ndarray) -> None:
    """Write detections, frames int ``[N]``, boxes (left, top, width, height) ``[N, 4]``, scores ``[N]``.

    Numbers have as many digits as it takes to read back the same float64.
    """
    rows = zip(frames.tolist(), boxes.astype(float).tolist(), scores.astype(float).tolist(), strict=True)
    write_text(path, "".join(f"{f},-1,{x!r},{y!r},{w!r},{h!r},{s!r},1,-1\n" for f, (x, y, w, h), s in rows))


def _read_slowly(path: Path, text: str, delimiter: str | None, columns: int) -> np.ndarray:
    """What ``loadtxt`` could not read, row by row, until the fault shows (or, with odd white space, none does)."""
    rows: list[list[float | None]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        fields = line.split(delimiter)
        expected = len(rows[0]) if rows else max(len(fields), columns)
        if len(fields) != expected:
            raise InputError(f"{path}, row {number} has {len(fields)} columns instead of {expected}: {_shown(line)}")
        rows.append([_number(field) for field in fields])
        if None in rows[-1]:
            column = rows[-1].index(None)
            raise InputError(f"{path}, row {number}: {fields[column].strip()!r} in column {column + 1} is no number")
    return np.array(rows)


def _number(field: str) -> float | None:
    try:
        return float(field) if "_" not in field else None
    except ValueError:
        return None


def _shown(line: str) -> str:
    line = line.strip()
    return line if len(line) <= 80 else line[:77] + "..."
