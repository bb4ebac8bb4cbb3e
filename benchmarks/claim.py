"""A job's folder is worked in by one process (and those that it starts) at a time."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.errors import InputError

LOCK = ".lock"

#: Seconds to wait for a folder: loader workers of a killed process live on a little, and hold what it held.
PATIENCE = 10.0


@contextlib.contextmanager
def held(folder: Path, patience: float = PATIENCE) -> Iterator[int]:
    """Hold ``folder`` for this process; :class:`InputError` says who else does.

    The kernel lets go of the lock when the last process that has its file open is gone, however it went: a killed run
    leaves no stale one. The file keeps the process's number and machine for messages. Yields the descriptor: a process
    that inherits it holds the folder too.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        end = time.monotonic() + patience
        while not _taken(descriptor, fcntl.LOCK_EX):
            if time.monotonic() > end:
                raise InputError(f"{folder} is being worked in by {holder(folder) or 'another process'}")
            time.sleep(0.1)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)


def holder(folder: Path) -> str | None:
    """Who works in ``folder`` now, such as ``process 123 on HOST``; None where nobody does."""
    try:
        descriptor = os.open(folder / LOCK, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        if _taken(descriptor, fcntl.LOCK_SH):
            return None
        try:
            who = json.loads(os.pread(descriptor, 4096, 0))
            return f"process {who['pid']} on {who['host']}"
        except (ValueError, KeyError, TypeError):  # it has just begun
            return "another process"
    finally:
        os.close(descriptor)


def _taken(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise InputError(f"this file system has no locks ({error}): put --out on one that has") from error
    return True
