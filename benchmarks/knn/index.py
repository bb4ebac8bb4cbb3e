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
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.errors import InputError
from benchmarks.files import no_collection, write_text
from benchmarks.knn.marks import files_mark
from benchmarks.listing import FolderMark, unchanged

#: Raise it when what is kept changes its meaning.
VERSION = 5

#: How old (ns) a folder's last change must be: of two within a tick of its clock the second would not be seen.
SETTLED = 2_000_000_000


Box = tuple[float, float, float, float]


class BoxedImage(NamedTuple):
    """An image file and its boxes ``(xmin, ymin, xmax, ymax)`` in the pixels of one of ``size`` (width, height)."""

    path: str  # text: over half a million images a Path each costs seconds and memory
    size: tuple[int, int]
    boxes: tuple[Box, ...]
    names: tuple[str, ...]  # the class (wnid) of each box


class Facts(NamedTuple):
    """What a plan says of a split's boxes, without reading them."""

    images: int  # that have boxes
    boxes: int
    flat: int  # boxes without area
    a_flat_one: tuple[float, ...]  # the first of them; empty where there is none
    classes: list[str]  # of the boxes, sorted

    @classmethod
    def of(cls, images: list[BoxedImage]) -> Facts:
        """Counted."""
        boxes = [box for image in images for box in image.boxes]
        flat = [box for box in boxes if box[2] <= box[0] or box[3] <= box[1]]
        classes = sorted({name for image in images for name in image.names})
        return cls(len(images), len(boxes), len(flat), flat[0] if flat else (), classes)


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
        :class:`InputError` where one of these files is not there.
        """
        try:
            asked = files_mark(texts, self.box_files + self.spare), files_mark(pictures, self.boxed)
        except OSError as error:
            raise InputError(f"{error.filename} cannot be read ({error.strerror}): mend it or remove it") from error
        marks = (self.images_sha256, *asked)
        return hashlib.sha256(" ".join(marks).encode()).hexdigest()


class Index:
    """The file at ``path``, or nothing where there is none that can be read.

    Two lines of JSON: what a plan wants, and the boxes, a column each (objects read slowly).
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.kept = self._line(0)
        if self.kept.get("version") != VERSION:
            self.kept = {}

    @property
    def files(self) -> Files | None:
        """What the split consists of, if no folder changed since."""
        folders = self.kept.get("folders")
        return Files(*self.kept["files"]) if folders and unchanged(folders) else None

    def facts(self, mark: str) -> Facts | None:
        """What the boxes are like, if no file changed since."""
        if self.kept.get("mark") != mark:
            return None
        facts = Facts(*self.kept["facts"])
        return facts._replace(a_flat_one=tuple(facts.a_flat_one))

    def images(self, pictures: Path, mark: str) -> list[BoxedImage] | None:
        """The images that have boxes, if no file changed since."""
        kept = self._line(1)
        if kept.get("mark") != mark:  # another command may have written the file anew
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
        self, files: Files, folders: list[FolderMark], pictures: Path, mark: str, images: list[BoxedImage], facts: Facts
    ) -> None:
        """Keep what was listed and read. A place that cannot be written costs time, not the result."""
        settled = all(time.time_ns() - changed > SETTLED for _, changed, _, _ in folders)
        within = len(os.path.join(pictures, ""))
        plan = {
            "version": VERSION,
            "folders": folders if settled else None,
            "files": files,
            "mark": mark,
            "facts": facts,
        }
        boxes = {
            "mark": mark,
            "names": [image.path[within:] for image in images],
            "sizes": [side for image in images for side in image.size],
            "counts": [len(image.boxes) for image in images],
            "corners": [corner for image in images for box in image.boxes for corner in box],
            "classes": [name for image in images for name in image.names],
        }
        if self.path:
            with contextlib.suppress(OSError):
                write_text(self.path, f"{json.dumps(plan)}\n{json.dumps(boxes)}\n")

    def _line(self, number: int) -> dict[str, Any]:
        if self.path:
            with contextlib.suppress(OSError, ValueError), no_collection(), open(self.path, encoding="utf-8") as stream:
                found = json.loads(next(islice(stream, number, None), ""))
                return found if isinstance(found, dict) else {}
        return {}
