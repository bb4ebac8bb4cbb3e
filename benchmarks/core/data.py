"""The identity of a data set: the content of its annotations, the names and sizes of its images, and nothing else.

Reading half a million files to hash them takes minutes, so a hash is kept by path, size and time of change in a file
under ``$XDG_CACHE_HOME/flsl-benchmarks`` (``FLSL_CACHE`` names another folder). What a data set does not list, such as
an archive left beside it, takes no part; nor does where it lies.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.errors import InputError
from benchmarks.files import sha256_of, write_text
from benchmarks.images import read_all


@dataclass(frozen=True)
class Fingerprint:
    """A data set's folder name (for people), how many files it lists, and two SHA-256.

    ``annotations_sha256`` is over the annotation files' names and content, ``images_sha256`` over the names and sizes
    (bytes) of the images that are listed.
    """

    name: str
    files: int
    annotations_sha256: str
    images_sha256: str = ""

    @property
    def identity(self) -> dict[str, Any]:
        """What decides: everything but the name."""
        decides = asdict(self)
        del decides["name"]
        return decides

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return asdict(self)


def cache_folder() -> Path:
    """Where what can be computed again is kept."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("FLSL_CACHE") or Path(base) / "flsl-benchmarks")


def fingerprint(
    root: Path,
    annotations: Iterable[Path],
    images: Iterable[str | os.PathLike[str]],
    content: Iterable[str] = (),
) -> Fingerprint:
    """The identity of the data set at ``root`` from its annotation files and its listed images.

    ``content`` is for annotations that were read already: what they say, a line each, in an order of its own.
    """
    marks, kept = [f"{line}\n" for line in content], KeptFacts(root, "hashes")
    for path in sorted(set(annotations)):
        marks.append(f"{path.relative_to(root).as_posix()} {kept.of(path, sha256_of)}\n")
    kept.save()
    name_of = namer(root)
    listed = sorted({(name_of(text), text) for text in (os.fspath(image) for image in images)})
    sizes = hashlib.sha256()
    for name, text in listed:
        sizes.update(f"{name} {os.stat(text).st_size}\n".encode())
    said = hashlib.sha256("".join(marks).encode()).hexdigest()
    return Fingerprint(root.name, len(marks) + len(listed), said, sizes.hexdigest())


def namer(root: Path) -> Callable[[str], str]:
    """A function that says what a file is called: below ``root`` as seen from there, elsewhere its own name.

    Annotation files may give absolute paths. Text, not :class:`Path`: there are half a million, and it takes a tenth.
    """
    within = "" if root == Path() else os.path.join(root, "")

    def name(path: str) -> str:
        inside = path.startswith(within) and os.path.isabs(path) == root.is_absolute()
        return path[len(within) :] if inside else os.path.basename(path)

    return name


def _mark(path: str | os.PathLike[str]) -> list[int]:
    """By what a file is known again; empty where there is none, for its reader has the words for that."""
    try:
        about = os.stat(path)
    except OSError:
        return []
    return [about.st_size, about.st_mtime_ns, about.st_ino]


class KeptFacts:
    """What was read of the files below one folder, kept between commands by their size and time of change.

    ``kind`` names what is kept and the version of its rule. Values are plain JSON data.
    """

    def __init__(self, root: Path, kind: str) -> None:
        name = hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:16]
        self.path = cache_folder() / kind / f"{name}.json"
        self.changed = False
        self.known: dict[str, list[Any]] = {}
        with contextlib.suppress(OSError, ValueError):
            found = json.loads(self.path.read_text(encoding="utf-8"))
            self.known = found if isinstance(found, dict) else {}

    def of(self, path: str | os.PathLike[str], read: Callable[[Path], Any], given: str = "") -> Any:
        """What ``read`` says of the file; read again only where its size or time is another.

        ``given`` is what the answer depends on beside the file, as text.
        """
        mark, name = _mark(path), f"{os.fspath(path)}{given}"
        entry = self._entry(name, mark)
        if entry is not None:
            return entry[3]
        value = read(Path(path))
        self.known[name] = [*mark, value]
        self.changed = True
        return value

    def of_all(
        self, paths: Iterable[Path], read: Callable[[Path], Any], problems: list[str], what: str
    ) -> dict[Path, Any]:
        """:meth:`of` every file, in their order; those to be read on all cores, by :func:`read_all`."""
        paths = list(paths)
        entries = {path: self._entry(os.fspath(path), _mark(path)) for path in paths}
        unread = [path for path, entry in entries.items() if entry is None]
        fresh = read_all(unread, lambda path: self.of(path, read), problems, what) if unread else {}
        kept = {path: entry[3] for path, entry in entries.items() if entry is not None}
        return {path: (kept if path in kept else fresh)[path] for path in paths if path in kept or path in fresh}

    def _entry(self, name: str, mark: list[int]) -> list[Any] | None:
        entry = self.known.get(name)
        return entry if isinstance(entry, list) and len(entry) == 4 and entry[:3] == mark else None

    def save(self) -> None:
        """Keep what is new. A place that cannot be written costs time, not the result."""
        if self.changed:
            with contextlib.suppress(OSError, InputError):
                write_text(self.path, json.dumps(self.known))
            self.changed = False
