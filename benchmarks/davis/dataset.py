"""Videos and their index masks on disk: DAVIS 2017 at 480p, and own data in the layout of YouTube-VOS.

DAVIS has ``JPEGImages/480p/<name>``, ``Annotations/480p/<name>`` and the list ``ImageSets/2017/val.txt``; YouTube-VOS
has ``JPEGImages/<name>`` and ``Annotations/<name>`` without a list: there every folder of masks is a sequence. In both
a film ``JPEGImages/.../<name>.mp4`` may stand for a folder of frames; its frames are called 00000, 00001, ...
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from benchmarks.davis.films import SUFFIXES, film_frames, film_of, read_film_frame
from benchmarks.errors import InputError
from benchmarks.files import read_lines, require_folder
from benchmarks.images import image_size, read_bgr, read_labels
from benchmarks.listing import by_stem, list_files, list_folders, list_images, stem_of

RESOLUTION = "480p"

#: Pixels that belong to no object and to no background. The scores count them as background; propagation carries
#: them on as one more label, as the published script does.
VOID = 255

#: Masks that a score needs: the first and the last are not scored.
FEWEST_MASKS = 3


@dataclass(frozen=True)
class Video:
    """One sequence: its frames (a film's have the film as their folder) and its index masks (PNG), in order."""

    name: str
    frames: tuple[Path, ...]
    masks: tuple[Path, ...]

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that hold the frames."""
        film = film_of(self.frames[0]) if self.frames else None
        return (film,) if film else self.frames


def find_root(root: str | os.PathLike[str]) -> Path:
    """The folder with ``JPEGImages/`` and ``Annotations/``: ``root``, ``root/DAVIS`` or ``root/davis/DAVIS``."""
    root = require_folder(root, "DAVIS folder")
    for candidate in (root, root / "DAVIS", root / "davis" / "DAVIS", root / "davis"):
        if (candidate / "Annotations").is_dir():
            return candidate
    raise InputError(f"no DAVIS under {root}: it, or DAVIS/ in it, must hold JPEGImages/, Annotations/ and ImageSets/")


def sequence_names(root: Path, asked: Sequence[str] | None = None, subset: str = "val") -> list[str]:
    """The sequences to work on: those ``asked`` for, or else the lines of ``ImageSets/2017/<subset>.txt``.

    ``root`` is what :func:`find_root` returned. A name that has no folder of masks is an error. Where there is neither
    a list nor a folder ``480p`` (YouTube-VOS), every folder of masks is a sequence.
    """
    masks = require_folder(_at_resolution(root / "Annotations"), "folder of DAVIS masks")
    if asked is not None:
        names, source = [name.strip() for name in asked if name.strip()], "the list of sequences given"
    elif masks.name != RESOLUTION and not (root / "ImageSets").is_dir():
        names, source = list_folders(masks), str(masks)
    else:
        listing = root / "ImageSets" / "2017" / f"{subset}.txt"
        names, source = read_lines(listing, "list of DAVIS sequences"), str(listing)
    if not names:
        raise InputError(f"{source} is empty: name at least one sequence")
    if len(set(names)) < len(names):
        raise InputError(f"{source} names a sequence twice: {' '.join(names)}")
    paths = [name for name in names if "/" in name or name in (".", "..")]
    if paths:  # "a/" beside "a" would count twice
        raise InputError(f"{source} has {paths[0]!r}: give names of folders, not paths ({len(paths)} such)")
    for name in names:
        if not (masks / name).is_dir():
            there = list_folders(masks)
            raise InputError(
                f"{source} has {name!r}, which is not in {masks}; there: {', '.join(there[:5]) or 'nothing'}"
            )
    return names


def open_video(root: Path, name: str) -> Video:
    """The files of one sequence. Frames may be more than masks (test sets have the first mask only).

    A frame that is missing is an error: one whose mask is there, and one that leaves a gap in the numbers. So is a
    first mask without an object, and one of another size than its frame: there is nothing to follow.
    """
    folder = _at_resolution(root / "JPEGImages") / name
    frames = _frames(folder)
    masks = list_masks(root, name)
    if stem_of(masks[0]) != stem_of(frames[0]):
        raise InputError(f"{name}: the first frame is {frames[0].name} but the first mask is {masks[0].name}")
    there = {stem_of(frame) for frame in frames}
    absent = [stem_of(mask) for mask in masks if stem_of(mask) not in there]
    numbers = [int(stem) for stem in map(stem_of, frames) if stem.isdecimal()]
    step = min((after - before for before, after in pairwise(numbers)), default=1)
    absent += [f"{before + step:05}" for before, after in pairwise(numbers) if after - before != step]
    if absent:
        suffix = frames[0].suffix or ".jpg"
        raise InputError(
            f"{name}: frame {absent[0]}{suffix} is missing in {frames[0].parent} ({len(absent)} such): "
            "copy the sequence again"
        )
    first = read_mask(masks[0])
    height, width = read_frame(frames[0]).shape[:2] if film_of(frames[0]) else image_size(frames[0])
    if first.shape != (height, width):
        raise InputError(
            f"{frames[0]} is {width}x{height}, but {masks[0]} is {first.shape[1]}x{first.shape[0]}: "
            "all frames and masks of a sequence must have one size"
        )
    require_objects(first, masks[0])
    return Video(name, frames, masks)


def list_masks(root: Path, name: str) -> tuple[Path, ...]:
    """The mask files of one sequence, in order; scoring needs no more than these."""
    folder = require_folder(_at_resolution(root / "Annotations") / name, "folder of masks")
    masks = in_order(by_stem(folder, list_files(folder, {".png"}, deep=False)).values())
    if not masks:
        raise InputError(f"no *.png in {folder}: the masks of {name} are missing")
    return masks


def in_order(paths: Iterable[Path]) -> tuple[Path, ...]:
    """Files as a video has them: by name, numbers in it as numbers, so that 2 comes before 10."""

    def key(path: Path) -> list[tuple[int, str]]:
        parts = re.split(r"(\d+)", stem_of(path))
        return [(int(part), "") if place % 2 else (0, part) for place, part in enumerate(parts)]

    return tuple(sorted(paths, key=key))


def read_frame(path: Path) -> np.ndarray:
    """A frame as uint8 ``[H, W, 3]`` in OpenCV's BGR order, decoded by OpenCV as the published script does."""
    return read_film_frame(path) if film_of(path) else read_bgr(path)


def read_mask(path: Path) -> np.ndarray:
    """An index mask as integers ``[H, W]``: 0 is background, 1.. are objects, 255 is void."""
    return read_labels(path)


def read_first_mask(video: Video) -> np.ndarray:
    """The mask that says what to follow; :class:`InputError` where it shows no object."""
    return require_objects(read_mask(video.masks[0]), video.masks[0])


def require_objects(first: np.ndarray, path: Path) -> np.ndarray:
    """``first``, a sequence's first mask from ``path``, or :class:`InputError` where it shows no object.

    The official evaluator leaves such a sequence out of its means without a word.
    """
    if not ((first > 0) & (first != VOID)).any():
        only = " (its 255 is void, not an object: write objects as 1, 2, ...)" if first.any() else ""
        raise InputError(
            f"{path} shows no object{only}: the first mask says what to follow; mend it or leave {path.parent.name} out"
        )
    if first.max() > VOID:
        raise InputError(f"{path} has index {first.max()}: objects are 1 to 254, and 255 is void")
    return first


def _at_resolution(folder: Path) -> Path:
    return folder / RESOLUTION if (folder / RESOLUTION).is_dir() else folder


def _frames(folder: Path) -> tuple[Path, ...]:
    if not folder.is_dir():
        films = [film for suffix in sorted(SUFFIXES) if (film := folder.with_name(folder.name + suffix)).is_file()]
        if films:
            return film_frames(films[0])
    require_folder(folder, "folder of frames")
    frames = in_order(by_stem(folder, list_images(folder, deep=False)).values())
    if not frames:
        raise InputError(f"no *.jpg in {folder}: the frames of {folder.name} are missing")
    return frames
