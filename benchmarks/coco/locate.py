"""Where the pictures are that an annotation file names."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Sequence
from pathlib import Path


def locate(names: Sequence[str], folder: Path, root: Path) -> tuple[dict[str, str], list[str]]:
    """Names that stand for another path than ``folder / name``, with that path, and names without a picture.

    A name means the path in the split's ``folder``, sub-folders and links included. Where there is none: with ``/`` for
    the ``\\`` of Windows; from the ``root`` of the data set on; with umlauts composed or decomposed. No other folder is
    searched: another picture may have the same name there.
    """
    there = _plain_files(folder)
    elsewhere, missing = {}, []
    for name in names:
        if name in there or os.path.isfile(os.path.join(folder, name)):
            continue
        path = _elsewhere(name, folder, root)
        if path is None:
            missing.append(name)
        else:
            elsewhere[name] = os.path.abspath(path)
    return elsewhere, missing


def _plain_files(folder: Path) -> set[str]:
    """The files directly in ``folder``: one look at it instead of one at each of its files."""
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries if entry.is_file()}
    except OSError:
        return set()


def _elsewhere(name: str, folder: Path, root: Path) -> Path | None:
    spellings = [name, name.replace("\\", "/")]
    spellings += [unicodedata.normalize(form, spelling) for spelling in spellings for form in ("NFC", "NFD")]
    for place in (folder, root):
        for spelling in dict.fromkeys(spellings):
            try:
                if (path := place / spelling).is_file():
                    return path
            except (OSError, ValueError):  # a name that no file system takes
                continue
    return None
