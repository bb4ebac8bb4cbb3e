"""Is a data set there, is it whole, is it sound? One module a data set; only :func:`fetch_missing` uses the network."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from benchmarks.data_check import ade20k, coco, davis, imagenet, segmentation, uavdt, visdrone
from benchmarks.data_check.archives import ARCHIVES
from benchmarks.data_check.download import bring
from benchmarks.data_check.report import Report
from benchmarks.errors import InputError
from benchmarks.files import require_folder

__all__ = ["DATASETS", "Report", "fetch_missing", "find_folder", "survey"]

_MODULES = {
    "coco": coco, "uavdt": uavdt, "visdrone": visdrone, "davis": davis, "ade20k": ade20k, "imagenet": imagenet,
    "segmentation": segmentation,
}  # fmt: skip

#: The published sets that :func:`survey` knows, beside ``segmentation``, which is anybody's.
DATASETS: tuple[str, ...] = tuple(name for name in _MODULES if name != "segmentation")


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


def fetch_missing(dataset: str, root: str | os.PathLike[str]) -> None:
    """Fetch and unpack what of ``dataset`` is missing under ``root``, which is made if it is not there.

    :class:`benchmarks.errors.InputError` for a set without direct links, and when a file is not what it should be;
    :class:`benchmarks.data_check.download.DownloadError` when the network or the server fails.
    """
    if dataset not in ARCHIVES:
        raise InputError(f"{dataset} has no direct link: get it by hand from {_MODULES[dataset].WHERE}")
    try:
        Path(root).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--root {root} cannot be made ({error.strerror}): choose another folder") from error
    folder = find_folder(dataset, root)
    for archive in ARCHIVES[dataset]:
        # The set's own folder may have been given, which the archive has as its top.
        inside = folder.name in {Path(path).parts[0] for path in archive.gives}
        bring(archive, folder.parent if inside else folder)
