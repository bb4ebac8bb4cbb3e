"""Per-folder lock: a folder is worked in by one process, and those that it starts, at a time.

One kind of lock for all writers, pretraining included: fcntl's byte-range locks that belong to the open file (Linux's
``F_OFD_SETLK``). They hold against every other fcntl lock, also on NFS, where the kernel makes fcntl locks of
``flock``; and they stay with a child that inherits the file, and when another descriptor of it is closed, which the
older kind (``lockf``) does not.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import secrets
import socket
import struct
import time
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from benchmarks.errors import InputError

LOCK = ".lock"

#: Environment variable: the tokens of what the processes above this one hold, separated by colons.
HELD_ABOVE = "FLSL_CLAIMS"

#: Seconds to wait for a folder: what a killed process had started lives on a little, and holds what it held.
PATIENCE = 10.0

_OWNED_BY_FILE = getattr(fcntl, "F_OFD_SETLK", None)

#: Lock files that are open in this process: a forked one closes them, so that it does not hold them on.
_open: weakref.WeakSet[BinaryIO] = weakref.WeakSet()


class NoLocksHere(InputError):
    """The folder is on a file system without locks."""


@dataclass(frozen=True)
class Claim:
    """A folder that is held, until :meth:`release` or the end of the process, however it ends.

    ``file`` is None where a process above this one holds the folder.
    """

    folder: Path
    token: str
    file: BinaryIO | None = field(repr=False)

    def for_children(self) -> dict[str, Any]:
        """What to give :class:`subprocess.Popen` for a process that works in the folder: it may, and holds it too."""
        tokens = [*filter(None, os.environ.get(HELD_ABOVE, "").split(":")), self.token]
        options: dict[str, Any] = {"env": {**os.environ, HELD_ABOVE: ":".join(dict.fromkeys(tokens))}}
        return options if self.file is None else {**options, "pass_fds": (self.file.fileno(),)}

    def release(self) -> None:
        """Let go of the folder."""
        if self.file is not None and not self.file.closed:
            os.ftruncate(self.file.fileno(), 0)
            self.file.close()


def claim(folder: Path, patience: float = PATIENCE) -> Claim:
    """Hold ``folder``; :class:`InputError` says who else does, :class:`NoLocksHere` that nobody can.

    The file keeps this process's number and machine for messages; whoever is refused leaves them there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = open(os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666), "r+b", buffering=0)  # noqa: SIM115
    except OSError as error:
        raise InputError(f"{folder} cannot be written to ({error.strerror}): choose another") from error
    _open.add(file)
    end = time.monotonic() + patience
    while not _take(file.fileno()):
        token = _note(file.fileno()).get("token")
        if token and token in os.environ.get(HELD_ABOVE, "").split(":"):
            file.close()
            return Claim(folder, token, None)
        if time.monotonic() > end:
            file.close()
            raise InputError(f"{folder} is being worked in by {holder(folder) or 'another process'}")
        time.sleep(0.1)
    mine = {"pid": os.getpid(), "host": socket.gethostname(), "token": secrets.token_hex(8)}
    os.ftruncate(file.fileno(), 0)
    os.pwrite(file.fileno(), json.dumps(mine).encode(), 0)
    return Claim(folder, str(mine["token"]), file)


@contextlib.contextmanager
def held(folder: Path, patience: float = PATIENCE) -> Iterator[Claim]:
    """Hold ``folder`` for the block; see :func:`claim`."""
    taken = claim(folder, patience)
    try:
        yield taken
    finally:
        taken.release()


def holder(folder: Path) -> str | None:
    """Who works in ``folder`` now, such as ``process 123 on HOST``; None where nobody does."""
    try:
        descriptor = os.open(folder / LOCK, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        if _is_free(descriptor):
            return None
        note = _note(descriptor)
        # Without a note it has just begun, or it is a program of another kind.
        return f"process {note['pid']} on {note['host']}" if {"pid", "host"} <= note.keys() else "another process"
    finally:
        os.close(descriptor)


def _note(descriptor: int) -> dict[str, Any]:
    try:
        note = json.loads(os.pread(descriptor, 4096, 0))
    except ValueError:
        return {}
    return note if isinstance(note, dict) else {}


def _whole_file(kind: int) -> bytes:
    return struct.pack("hhqqi", kind, os.SEEK_SET, 0, 0, 0)


def _take(descriptor: int) -> bool:
    """Take the lock now or not at all."""
    try:
        if _OWNED_BY_FILE is None:  # no Linux
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            fcntl.fcntl(descriptor, _OWNED_BY_FILE, _whole_file(fcntl.F_WRLCK))
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return False
        raise NoLocksHere(f"this file system has no locks ({error}): put --out on one that has") from error
    return True


def _is_free(descriptor: int) -> bool:
    """Whether nobody has the lock; asks without taking it."""
    try:
        if _OWNED_BY_FILE is None:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return True
        answer = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, _whole_file(fcntl.F_WRLCK))
    except BlockingIOError:
        return False
    except OSError as error:
        raise NoLocksHere(f"this file system has no locks ({error}): put --out on one that has") from error
    return struct.unpack("hhqqi", answer)[0] == fcntl.F_UNLCK


def _close_in_a_fork() -> None:
    """A forked process (a loader's worker) does not work in the folder, and may outlive a killed one that does."""
    for file in list(_open):
        file.close()


os.register_at_fork(after_in_child=_close_in_a_fork)
