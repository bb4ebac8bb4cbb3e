"""Is a data set there, is it whole, is it sound? One module a data set; nothing is downloaded."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from benchmarks.data_check import ade20k, coco, davis, imagenet, uavdt
from benchmarks.data_check.report import Report
from benchmarks.files import require_folder

__all__ = ["DATASETS", "Report", "find_folder", "survey"]

_MODULES = {"coco": coco, "uavdt": uavdt, "davis": davis, "ade20k": ade20k, "imagenet": imagenet}

#: The names that :func:`survey` knows.
DATASETS: tuple[str, ...] = tuple(_MODULES)


def find_folder(dataset: str, root: str | os.PathLike[str]) -> Path:
    """The folder of ``dataset``: ``root`` if the set lies there itself, else ``root/<dataset>``."""
    root = require_folder(root, "data root")
    marks: tuple[str, ...] = _MODULES[dataset].MARKS
    here = any((root / mark).exists() for mark in marks) and not (root / dataset).is_dir()
    return root if here else root / dataset


def survey(dataset: str, root: str | os.PathLike[str], check: bool = False) -> Report:
    """What of ``dataset`` is under ``root``.

    Without ``check`` files are only counted. With it every picture is decoded and every annotation is
    compared with its picture. :class:`benchmarks.errors.InputError` when ``root`` is not a folder.
    """
    look: Callable[[Path, bool], Report] = _MODULES[dataset].survey
    return look(find_folder(dataset, root), check)
