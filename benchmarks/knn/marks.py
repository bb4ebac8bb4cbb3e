"""Names, sizes and times of many files as one SHA-256, for which several processes ask the file system.

This file is the program that those run, each for a piece of the names: a million questions take seconds, and Python's
threads do not share them. So it imports little.
"""

from __future__ import annotations

import hashlib
import os
import sys

#: Names that one process takes. The mark depends on it.
PIECE = 100_000


def files_mark(folder: str | os.PathLike[str], names: list[str]) -> str:
    """A SHA-256 over ``names`` of files in ``folder``, their sizes and times of change; OSError without one of them."""
    from concurrent.futures import ThreadPoolExecutor

    pieces = [names[start : start + PIECE] for start in range(0, len(names), PIECE)]
    ask = _in_a_process if len(pieces) > 1 else piece_mark
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        marks = list(pool.map(lambda piece: ask(os.fspath(folder), piece), pieces))
    return hashlib.sha256(" ".join(marks).encode()).hexdigest()


def piece_mark(folder: str, names: list[str]) -> str:
    """A SHA-256 over one piece."""
    marks = []
    start = os.open(folder, os.O_RDONLY)  # from here the way to each file is shorter
    try:
        for name in names:
            about = os.stat(name, dir_fd=start)
            marks.append(f"{name} {about.st_size} {about.st_mtime_ns}\n")
    except OSError as error:
        raise OSError(error.errno, error.strerror, os.path.join(folder, name)) from error
    finally:
        os.close(start)
    return hashlib.sha256(os.fsencode("".join(marks))).hexdigest()


def _in_a_process(folder: str, names: list[str]) -> str:
    import subprocess

    command = [sys.executable, "-I", "-S", __file__, folder]
    done = subprocess.run(command, input=os.fsencode("\0".join(names)), stdout=subprocess.PIPE, check=False)
    mark, number, file = [*os.fsdecode(done.stdout).split("\0"), "", ""][:3]
    if number:
        raise OSError(int(number), os.strerror(int(number)), file)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with exit code {done.returncode}")
    return mark


def _main() -> None:
    try:
        said = piece_mark(sys.argv[1], os.fsdecode(sys.stdin.buffer.read()).split("\0"))
    except OSError as error:
        said = f"\0{error.errno}\0{os.fsdecode(error.filename)}"
    sys.stdout.buffer.write(os.fsencode(said))


if __name__ == "__main__":
    _main()
