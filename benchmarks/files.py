"""Files that are either whole or not there: every writer of the suite goes through here."""

from __future__ import annotations

import contextlib
import errno
import gc
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.errors import InputError


@contextlib.contextmanager
def atomic_path(target: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside ``target``; rename it onto ``target`` when the block succeeds.

    The data is flushed to the disk before the rename, so a crash at any moment leaves the old
    file or the new one, never a half-written one. When the block raises, the target is untouched
    and the temporary file is removed. The temporary name keeps the target's suffix, because many
    writers choose their format by it.
    """
    target = Path(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise InputError(f"{target.parent} is a file, not a folder: choose another output path") from error
    if target.is_dir():
        raise InputError(f"{target} is a folder: give the path of a file to write")
    temporary = _beside(target, _new_file)
    try:
        yield temporary
        with open(temporary, "rb") as stream:
            os.fsync(stream.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(target: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary folder beside ``target``; rename it onto ``target`` when the block succeeds.

    Raises :class:`FileExistsError` where somebody else has made ``target`` (and put something in it) meanwhile. When
    the block raises, the temporary folder is removed.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = _beside(target, os.mkdir)
    try:
        yield temporary
        temporary.rename(target)
    except OSError as error:
        if error.errno == errno.ENOTEMPTY:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from error
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _new_file(path: Path) -> None:
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))


def _beside(target: Path, make: Callable[[Path], None]) -> Path:
    """What ``make`` makes beside ``target``, under a hidden name of its own that keeps the suffix.

    Made with full permissions, of which the kernel takes the umask off: what ``open()`` and ``mkdir()`` give. To ask
    for the umask is to change it, for all threads of the process.
    """
    while True:
        path = target.with_name(f".{target.stem}.{secrets.token_hex(4)}{target.suffix}")
        with contextlib.suppress(FileExistsError):
            make(path)
            return path


def write_text(target: str | os.PathLike[str], text: str) -> None:
    """Write ``text`` to ``target`` atomically (UTF-8)."""
    with atomic_path(target) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(target: str | os.PathLike[str], value: Any) -> None:
    """Write ``value`` as indented JSON, atomically. NaN and infinities are refused: they are not JSON."""
    write_text(target, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: str | os.PathLike[str], what: str = "JSON file") -> Any:
    """Read a JSON file; :class:`InputError` names the file when it is missing or broken."""
    path = require_file(path, what)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not valid JSON ({error}): is this the {what}?") from error


def read_lines(path: str | os.PathLike[str], what: str = "list") -> list[str]:
    """The lines of a text file that are not blank, stripped; :class:`InputError` where it is missing or not UTF-8."""
    path = require_file(path, what)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text ({error.reason}): save the {what} as such") from error
    return [line.strip() for line in text.split("\n") if line.strip()]


def require_file(path: str | os.PathLike[str], what: str = "file") -> Path:
    """Return ``path`` as a :class:`Path`, or raise :class:`InputError` when it is not a file."""
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path} is a folder: give the path of the {what} itself")
    if not path.is_file():
        raise InputError(f"{what} {path} does not exist: check the path")
    return path


def require_folder(path: str | os.PathLike[str], what: str = "folder") -> Path:
    """Return ``path`` as a :class:`Path`, or raise :class:`InputError` when it is not a folder."""
    path = Path(path)
    if path.is_file():
        raise InputError(f"{path} is a file, but the {what} is needed there")
    if not path.is_dir():
        raise InputError(f"{what} {path} does not exist: check the path")
    return path


def sha256_of(path: str | os.PathLike[str]) -> str:
    """The SHA-256 of a file, as hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@contextlib.contextmanager
def no_collection() -> Iterator[None]:
    """No search for cycles, of which JSON has none, while millions of lists are made: a third of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
