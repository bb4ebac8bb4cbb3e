"""A split's boxes as they are kept between commands: half a million box files take minutes to read.

The file system is asked two things each time: whether a folder changed, and is listed again, and whether a file that is
used did, by its size and time, and all are read again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.files import no_collection, write_text
from benchmarks.listing import FolderMark, unchanged

#: Raise it when what is kept changes its meaning.
VERSION = 4

#: How old (ns) a folder's last change must be: of two within a tick of its clock the second would not be seen.
SETTLED = 2_000_000_000


class BoxedImage(NamedTuple):
    """An image file and its boxes ``(xmin, ymin, xmax, ymax)`` in the pixels of one of ``size`` (width, height)."""

    path: str  # text: over half a million images a Path each costs seconds and memory
    size: tuple[int, int]
    boxes: tuple[tuple[float, float, float, float], ...]
    names: tuple[str, ...]  # the class (wnid) of each box


class Files(NamedTuple):
    """What a split consists of; names are relative to the folders of its images and of its box files."""

    images: int
    images_sha256: str  # over the names of all images
    boxed: list[str]  # images that have a box file
    box_files: list[str]  # of each of them
    spare: list[str]  # box files without an image

    def mark(self, pictures: Path, texts: Path) -> str:
        """A SHA-256 over the names of all images, and the names, sizes and times of box files and boxed images.

        Of an image without a box file the name decides alone: to ask for all sizes would take as long as the rest.
        """
        marks = (self.images_sha256, _stated(texts, self.box_files + self.spare), _stated(pictures, self.boxed))
        return hashlib.sha256(" ".join(marks).encode()).hexdigest()


class Index:
    """The file at ``path``, or nothing where there is none that can be read. A column each: objects read slowly."""

    def __init__(self, path: Path | None) -> None:
        self.path, self.kept = path, dict[str, Any]()
        if path:
            with contextlib.suppress(OSError, ValueError), no_collection():
                found = json.loads(path.read_text(encoding="utf-8"))
                if isinstance(found, dict) and found.get("version") == VERSION:
                    self.kept = found

    @property
    def files(self) -> Files | None:
        """What the split consists of, if no folder changed since."""
        folders = self.kept.get("folders")
        return Files(*self.kept["files"]) if folders and unchanged(folders) else None

    def images(self, pictures: Path, mark: str) -> list[BoxedImage] | None:
        """The images that have boxes, if no file changed since."""
        kept = self.kept
        if kept.get("mark") != mark:
            return None
        within = os.path.join(pictures, "")
        sides, corners, classes = iter(kept["sizes"]), iter(kept["corners"]), iter(kept["classes"])
        sizes, boxes = zip(sides, sides, strict=True), zip(corners, corners, corners, corners, strict=True)
        with no_collection():
            return [
                BoxedImage(within + name, size, tuple(islice(boxes, count)), tuple(islice(classes, count)))
                for name, size, count in zip(kept["names"], sizes, kept["counts"], strict=True)
            ]

    def save(
        self, files: Files, folders: list[FolderMark], pictures: Path, mark: str, images: list[BoxedImage]
    ) -> None:
        """Keep what was listed and read. A place that cannot be written costs time, not the result."""
        settled = all(time.time_ns() - changed > SETTLED for _, changed, _, _ in folders)
        within = len(os.path.join(pictures, ""))
        content = {
            "version": VERSION,
            "folders": folders if settled else None,
            "files": files,
            "mark": mark,
            "names": [image.path[within:] for image in images],
            "sizes": [side for image in images for side in image.size],
            "counts": [len(image.boxes) for image in images],
            "corners": [corner for image in images for box in image.boxes for corner in box],
            "classes": [name for image in images for name in image.names],
        }
        if self.path:
            with contextlib.suppress(OSError):
                write_text(self.path, json.dumps(content))


def _stated(folder: Path, names: Iterable[str]) -> str:
    """A SHA-256 over ``names`` of files in ``folder``, their sizes and modification times."""
    within, marks = os.path.join(folder, ""), []
    for name in names:
        about = os.stat(within + name)
        marks.append(f"{name} {about.st_size} {about.st_mtime_ns}\n")
    return hashlib.sha256("".join(marks).encode()).hexdigest()
