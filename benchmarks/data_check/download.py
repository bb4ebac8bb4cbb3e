"""Archives from the publisher: resumed where they stopped, compared with their checksums, unpacked whole."""

from __future__ import annotations

import errno
import http.client
import os
import shutil
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from pathlib import Path

from benchmarks.data_check.archives import SOURCE, Archive
from benchmarks.errors import InputError
from benchmarks.files import sha256_of
from benchmarks.progress import Progress

BLOCK = 1 << 20
#: Connections in a row that may end before their time without a byte; one that brought some starts the count anew.
TRIES = 5
SECONDS_BETWEEN = 2.0
TIMEOUT = 60.0


class DownloadError(Exception):
    """The network or the server failed; the same command goes on later. One line."""


def bring(archive: Archive, folder: Path) -> None:
    """Fetch ``archive`` beside its target and unpack it into ``folder``; nothing where that is done.

    An archive that a person put into ``folder`` is used and left there; a fetched one is removed once unpacked.
    """
    if archive.is_unpacked(folder):
        return
    own = not (folder / archive.name).is_file()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path = fetch(archive, folder)
        unpack(path, folder)
        if own:
            path.unlink()
    except OSError as error:
        reason = "the disk is full" if error.errno == errno.ENOSPC else error.strerror or error
        raise InputError(f"{folder} cannot be written to ({reason}): choose another --root, or make room") from error


def fetch(archive: Archive, folder: Path) -> Path:
    """The path of ``archive`` in ``folder``, complete and checked.

    Bytes go to ``NAME.part`` and stay there when the connection ends; the next call asks for the rest (HTTP Range).
    The name without ``.part`` is given only to a file of the right size and checksum; what has another checksum is
    removed.
    """
    target, part = folder / archive.name, folder / f"{archive.name}.part"
    if target.is_file():
        _verify(archive, target)
        return target
    there = part.stat().st_size if part.is_file() else 0
    _require_space(folder, archive.size - there, archive.name)
    failures = 0
    with Progress(
        total=archive.size, initial=there, desc=archive.name, unit="B", unit_scale=True, dynamic_ncols=True
    ) as bar:
        while there < archive.size:
            try:
                _receive(archive, part, there, bar)
            except urllib.error.HTTPError as error:
                raise DownloadError(f"{archive.url}: the server says {error.code} {error.reason}") from error
            except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
                failure = str(error)
            else:
                failure = "the connection ended early"
            before, there = there, part.stat().st_size if part.is_file() else 0
            if there == archive.size:
                break
            failures = 0 if there > before else failures + 1
            if there > archive.size or failures == TRIES:
                problem = "more bytes came than it has" if there > archive.size else failure
                raise DownloadError(
                    f"{archive.url}: {problem}; {there:,} of {archive.size:,} bytes are in {part}: "
                    "start the command again later and it goes on from there"
                )
            time.sleep(SECONDS_BETWEEN)
    _verify(archive, part)
    part.replace(target)
    return target


def unpack(path: Path, folder: Path) -> None:
    """Unpack the zip file ``path`` into ``folder``; a top-level folder of it appears when all of its files are there.

    zipfile compares every file with its CRC. Where a folder exists already, its files are moved in one by one.
    """
    temporary = folder / f".unpacking-{path.stem}"
    try:
        with zipfile.ZipFile(path) as source:
            members = source.infolist()
            _require_space(folder, sum(member.file_size for member in members), f"unpacking {path.name}")
            shutil.rmtree(temporary, ignore_errors=True)  # of a run that was killed
            temporary.mkdir()
            for member in Progress(members, desc=f"unpacking {path.name}", dynamic_ncols=True, leave=False):
                source.extract(member, temporary)
            for entry in sorted(temporary.iterdir()):
                _move(entry, folder / entry.name)
    except (zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path} is no sound zip file ({error}): remove it and fetch it again") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _receive(archive: Archive, part: Path, there: int, bar: Progress) -> None:
    """Append what the server sends from byte ``there`` on; a server that sends everything is started over with."""
    request = urllib.request.Request(archive.url, headers={"Range": f"bytes={there}-"} if there else {})
    with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
        resumed = answer.status == http.client.PARTIAL_CONTENT
        start = answer.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
        if resumed and start != str(there):
            raise http.client.HTTPException(f"bytes from {there} were asked for, those from {start} came")
        if not resumed:
            bar.reset(total=archive.size)
        with open(part, "ab" if resumed else "wb") as stream:
            while block := answer.read(BLOCK):
                stream.write(block)
                bar.update(len(block))


def _verify(archive: Archive, path: Path) -> None:
    """:class:`InputError` unless size and checksum are right. A ``.part`` that is wrong is removed: it cannot go on."""
    size = path.stat().st_size
    wrong = f"has {size:,} bytes instead of {archive.size:,}" if size != archive.size else ""
    if not wrong and archive.sha256 is not None:
        found = sha256_of(path)
        if found != archive.sha256:
            wrong = f"has SHA-256 {found}, {SOURCE} recorded {archive.sha256}"
    if wrong and path.suffix == ".part":
        path.unlink()
        raise InputError(f"{archive.url} {wrong}: it was removed; fetch it again, or by hand")
    if wrong:
        raise InputError(f"{path} {wrong}: remove it and start again")


def _require_space(folder: Path, needed: int, what: str) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise InputError(f"{what} needs {needed:,} bytes in {folder} and {free:,} are free: make room")


def _move(source: Path, target: Path) -> None:
    """Rename ``source`` to ``target``; into a folder that is there, file by file."""
    if not (source.is_dir() and target.is_dir()):
        os.replace(source, target)
        return
    for entry in sorted(source.iterdir()):
        _move(entry, target / entry.name)
