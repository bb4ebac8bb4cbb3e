"""The one way to list a folder: which files count, in which order, for every benchmark, check and pretraining.

Links are followed, to files and to folders; a folder that leads back into itself is not entered again. What editors and
systems leave behind is no data: names that begin with a dot (``._x.jpg`` of macOS, ``.ipynb_checkpoints``) and folders
such as ``__MACOSX``. Extensions count in any case.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Collection, Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from benchmarks.errors import InputError
from benchmarks.files import require_folder

#: Extensions of pictures. Also kinds that :mod:`benchmarks.images` refuses by name: left out, they would be missing in
#: silence.
IMAGE_SUFFIXES = frozenset(
    f".{kind}"
    for kind in (
        *("jpg", "jpeg", "jpe", "jfif", "png", "bmp", "webp", "tif", "tiff", "ppm", "pgm", "pbm", "pnm", "gif"),
        *("jp2", "j2k", "avif", "heic", "heif", "jxl"),
    )
)

#: Folders that archivers, file managers and storage boxes add.
_STRAY = frozenset({"__MACOSX", "@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found"})


#: A folder: path, time of change (ns), device, inode. Whatever is added, removed or renamed in it changes its time.
FolderMark = tuple[str, int, int, int]


def list_images(root: str | os.PathLike[str], deep: bool = True, folders: list[FolderMark] | None = None) -> list[str]:
    """The pictures in ``root``, sorted; names are relative to it, with ``/``. See :func:`list_files`."""
    return list_files(root, IMAGE_SUFFIXES, deep, folders)


def list_files(
    root: str | os.PathLike[str],
    suffixes: Collection[str],
    deep: bool = True,
    folders: list[FolderMark] | None = None,
) -> list[str]:
    """The files in ``root`` with one of ``suffixes`` (lower case, with the dot), sorted, as names relative to it.

    With ``deep`` those of its folders as well. ``folders`` gets the mark that each folder had before it was listed: as
    long as they are the same (:func:`unchanged`), so are the names. :class:`InputError` for a ``root`` that is no
    folder, for a folder that cannot be read, and for a link that leads nowhere: what it stood for would be missing in
    silence.
    """
    root = require_folder(root, "folder")
    found: list[str] = []
    _collect(str(root), "", frozenset(suffixes), deep, (), found, folders)
    return sorted(found)


def unchanged(folders: Iterable[FolderMark]) -> bool:
    """Whether nothing was added, removed or renamed in any of these folders since they were listed."""
    try:
        return all(_mark(path, os.stat(path)) == (path, *mark) for path, *mark in folders)
    except OSError:
        return False


def list_folders(root: str | os.PathLike[str]) -> list[str]:
    """The names of the folders directly in ``root``, linked ones too, sorted; strays are left out."""
    with _scan(str(require_folder(root, "folder"))) as entries:
        return sorted(entry.name for entry in entries if not _is_stray(entry.name) and entry.is_dir())


def stem_of(name: str | os.PathLike[str]) -> str:
    """What a picture and its label map or box file have in common: the name without folder and extension.

    Umlauts compare equal whether composed (Linux, Windows) or decomposed (macOS).
    """
    text = os.fspath(name)
    stem = os.path.splitext(text[text.rfind("/") + 1 :])[0]  # pathlib takes ten times as long, for millions of names
    return stem if stem.isascii() else unicodedata.normalize("NFC", stem)


def by_stem(root: Path, names: Iterable[str]) -> dict[str, Path]:
    """:func:`stem_of` -> path of each of ``names`` below ``root``; :class:`InputError` where two share one."""
    found: dict[str, Path] = {}
    for name in names:
        stem = stem_of(name)
        if stem in found:
            raise InputError(f"{found[stem]} and {root / name} share the name {stem}: keep one of them")
        found[stem] = root / name
    return found


def _collect(
    folder: str,
    prefix: str,
    suffixes: frozenset[str],
    deep: bool,
    above: tuple[tuple[int, int], ...],
    found: list[str],
    folders: list[FolderMark] | None,
) -> None:
    """Add what is in ``folder`` to ``found``; ``above`` are the (device, inode) of the folders that lead to it."""
    about = os.stat(folder)
    here = (about.st_dev, about.st_ino)
    if here in above:
        return
    if folders is not None:
        folders.append(_mark(folder, about))
    files: list[str] = []
    with _scan(folder) as entries:
        for entry in entries:
            name = entry.name
            if _is_stray(name):
                continue
            if entry.is_dir():
                if deep:
                    _collect(entry.path, f"{prefix}{name}/", suffixes, deep, (*above, here), found, folders)
            elif name[max(name.rfind("."), 0) :].lower() in suffixes:  # as splitext, in a third of the time
                if entry.is_file():
                    files.append(prefix + name)
                elif entry.is_symlink():
                    raise _leads_nowhere(entry.path)
            elif deep and entry.is_symlink() and not os.path.exists(entry.path):
                raise _leads_nowhere(entry.path)  # was it a folder of pictures?
    files.sort()  # of a million names in a thousand folders, the whole is then sorted in no time
    found += files


def _mark(path: str, about: os.stat_result) -> FolderMark:
    return path, about.st_mtime_ns, about.st_dev, about.st_ino


def _leads_nowhere(path: str) -> InputError:
    return InputError(f"{path} is a link to {os.readlink(path)}, which is not there: mend the link or remove it")


def _scan(folder: str) -> AbstractContextManager[Iterator[os.DirEntry[str]]]:
    try:
        return os.scandir(folder)
    except OSError as error:
        raise InputError(f"folder {folder} cannot be read ({error.strerror}): check its permissions") from error


def _is_stray(name: str) -> bool:
    return name.startswith(".") or name in _STRAY
