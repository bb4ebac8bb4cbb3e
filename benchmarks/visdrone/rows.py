"""VisDrone-DET's text files, one a picture: left, top, width, height, score, category, truncation, occlusion.

In an annotation the score is 1 for a box that counts and 0 for one that a detection may hit without harm, category 0 is
an ignored region and 11 "others". In a detection the last two columns are -1, and nothing reads them. Commas part the
numbers; pixels count from 1 where the toolkit looks boxes up in its map of ignored regions.
"""

from __future__ import annotations

import os

import numpy as np

from benchmarks.files import write_text
from benchmarks.uavdt.rows import read_numbers, refuse_row

LEFT, TOP, WIDTH, HEIGHT, SCORE, CATEGORY, TRUNCATION, OCCLUSION = range(8)
BOX, SIZE = slice(LEFT, HEIGHT + 1), slice(WIDTH, HEIGHT + 1)
REGION, OTHERS = 0, 11

#: Categories 1 to 10, the ones that are scored.
CLASSES = (
    "pedestrian",
    "people",
    "bicycle",
    "car",
    "van",
    "truck",
    "tricycle",
    "awning-tricycle",
    "bus",
    "motor",
)


def read_annotation(path: str | os.PathLike[str]) -> np.ndarray:
    """The rows of an annotation file, float64 ``[N, C]``, ``C >= 8``; an empty file has none.

    :class:`benchmarks.errors.InputError` names file and row for what is no finite number, negative sizes, scores other
    than 0 and 1, categories other than 0 to 11, and for ignored regions off the pixel grid, at which the toolkit stops.
    """
    rows, text = _read(path, OCCLUSION + 1, "annotation file")
    refuse_row(path, text, ~np.isin(rows[:, SCORE], (0, 1)), "has a score other than 0 and 1")
    off_grid = (rows[:, CATEGORY] == REGION) & (rows[:, BOX] != np.floor(rows[:, BOX])).any(axis=1)
    refuse_row(path, text, off_grid, "is an ignored region that is not in whole pixels")
    return rows


def read_detections(path: str | os.PathLike[str]) -> np.ndarray:
    """The rows of a file of detections, float64 ``[N, C]``, ``C >= 6``, in file order; an empty file has none.

    :class:`benchmarks.errors.InputError` as :func:`read_annotation`; scores may be any finite numbers.
    """
    return _read(path, CATEGORY + 1, "file of detections")[0]


def write_detections(
    path: str | os.PathLike[str], boxes: np.ndarray, scores: np.ndarray, categories: np.ndarray
) -> None:
    """Write the detections of one picture, boxes (left, top, width, height) ``[N, 4]``, by falling score.

    The toolkit takes the first 1, 10, 100 and 500 rows of a file, not the best ones. Numbers have as many digits as it
    takes to read back the same float64.
    """
    order = np.argsort(-scores, kind="stable")
    columns = boxes[order].astype(float), scores[order].astype(float), categories[order]
    rows = zip(*(column.tolist() for column in columns), strict=True)
    write_text(path, "".join(f"{x!r},{y!r},{w!r},{h!r},{s!r},{int(c)},-1,-1\n" for (x, y, w, h), s, c in rows))


def _read(path: str | os.PathLike[str], columns: int, what: str) -> tuple[np.ndarray, str]:
    rows, text = read_numbers(path, columns, what)
    refuse_row(path, text, np.any(rows[:, SIZE] < 0, axis=1), "has a negative width or height")
    known = np.isin(rows[:, CATEGORY], range(OTHERS + 1))
    refuse_row(path, text, ~known, "has a category (column 6) other than 0 to 11")
    return rows, text
