"""Do the pictures fit their annotations? Asked before training: a fault found after it costs the training.

The rule for Exif: pictures are seen upright, so annotations are of the upright picture, and ``width`` and ``height``
say so. Sizes of the stored pixels, turned by 90 degrees, are refused.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.coco.dataset import CocoRoot
from benchmarks.coco.findings import NAMED, count
from benchmarks.core.data import cache_folder
from benchmarks.errors import InputError
from benchmarks.files import write_text
from benchmarks.images import image_size, orientation, read_rgb
from benchmarks.progress import Progress

#: Pictures of a split up to which a run decodes all of them before it starts; of larger ones it reads the headers.
WHOLE = 5_000


def picture_faults(data: CocoRoot, split: str, whole: bool, progress: bool = False) -> list[str]:
    """What is wrong with the pictures of a split, a line each; with ``whole`` every picture is decoded to its end."""
    listing = data.listings[split]
    paths = [data.path / f"{split}2017" / name for name in listing.names]

    def look(path: Path) -> tuple[int, int] | str:
        try:
            return read_rgb(path).shape[:2] if whole else image_size(path)
        except InputError as error:
            return str(error)

    # Decoding leaves the interpreter lock, so threads are enough.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        sizes = Progress(
            pool.map(look, paths), f"pictures of {split}2017", len(paths), leave=False, disable=not progress
        )
        found = list(sizes)
    return list(_faults(paths, found, listing.sizes))


def _faults(
    paths: Iterable[Path], found: Iterable[tuple[int, int] | str], said: Iterable[tuple[int, int]]
) -> Iterator[str]:
    for path, size, declared in zip(paths, found, said, strict=True):
        if isinstance(size, str):
            yield size
        elif tuple(size) != tuple(declared):
            remedy = "correct width and height, or fetch the picture again"
            if tuple(size) == tuple(declared[::-1]) and orientation(path) >= 5:
                remedy = "its Exif tag turns it, so annotate the upright picture, or remove the tag"
            said_as = f"its annotation says {declared[1]}x{declared[0]}"
            yield f"{path} is {size[1]}x{size[0]} seen upright, {said_as}: {remedy}"


#: Data whose pictures fit, as they were then: name, size and time of each file.
_FIT: set[str] = set()


def require_pictures(data: CocoRoot, progress: bool = True) -> None:
    """:class:`InputError` unless all pictures fit their annotations. Splits of up to :data:`WHOLE` are decoded.

    Pictures that did not change since are not read again, by this process or another.
    """
    mark = hashlib.sha256("".join(f"{one}\n" for one in _marks(data)).encode()).hexdigest()
    kept = cache_folder() / "pictures" / f"{mark[:20]}.fit"
    if mark in _FIT or kept.is_file():
        return
    faults = []
    for split, listing in data.listings.items():
        faults += picture_faults(data, split, len(listing.names) <= WHOLE, progress)
    if faults:
        more = "" if len(faults) <= NAMED else "; ..."
        raise InputError(
            f"{count(len(faults), 'picture')} of {data.path} cannot be used: {'; '.join(faults[:NAMED])}{more}"
        )
    _FIT.add(mark)
    with contextlib.suppress(OSError, InputError):  # a place that cannot be written costs time, not the result
        write_text(kept, mark)


def _marks(data: CocoRoot) -> Iterator[tuple[object, ...]]:
    for split, listing in data.listings.items():
        for name, size in zip(listing.names, listing.sizes, strict=True):
            path = os.path.join(data.path, f"{split}2017", name)
            about = os.stat(path)
            yield path, size, about.st_size, about.st_mtime_ns
