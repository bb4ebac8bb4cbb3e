"""DAVIS 2017 on disk: sequences, frames and index masks, at 480p."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from benchmarks.errors import InputError
from benchmarks.files import require_file, require_folder

RESOLUTION = "480p"

#: Pixels that belong to no object and to no background. The scores count them as background; propagation carries
#: them on as one more label, as the published script does.
VOID = 255

JPEG_END = b"\xff\xd9"


@dataclass(frozen=True)
class Video:
    """One sequence: its frames (JPEG) and its index masks (PNG), in the order of their names."""

    name: str
    frames: tuple[Path, ...]
    masks: tuple[Path, ...]


def find_root(root: str | os.PathLike[str]) -> Path:
    """The folder with ``JPEGImages/`` and ``Annotations/``: ``root``, ``root/DAVIS`` or ``root/davis/DAVIS``."""
    root = require_folder(root, "DAVIS folder")
    for candidate in (root, root / "DAVIS", root / "davis" / "DAVIS", root / "davis"):
        if (candidate / "Annotations").is_dir():
            return candidate
    raise InputError(f"no DAVIS under {root}: it, or DAVIS/ in it, must hold JPEGImages/, Annotations/ and ImageSets/")


def sequence_names(root: Path, asked: Sequence[str] | None = None, subset: str = "val") -> list[str]:
    """The sequences to work on: those ``asked`` for, or else the lines of ``ImageSets/2017/<subset>.txt``.

    ``root`` is what :func:`find_root` returned. A name that has no folder of masks is an error.
    """
    if asked is None:
        listing = require_file(root / "ImageSets" / "2017" / f"{subset}.txt", "list of DAVIS sequences")
        names = listing.read_text(encoding="utf-8").split()
        source = str(listing)
    else:
        names = [name.strip() for name in asked if name.strip()]
        source = "the list of sequences given"
    if not names:
        raise InputError(f"{source} is empty: name at least one sequence")
    if len(set(names)) < len(names):
        raise InputError(f"{source} names a sequence twice: {' '.join(names)}")
    masks = require_folder(root / "Annotations" / RESOLUTION, "folder of DAVIS masks")
    for name in names:
        if not (masks / name).is_dir():
            there = sorted(folder.name for folder in masks.iterdir() if folder.is_dir())
            raise InputError(
                f"{source} has {name!r}, which is not in {masks}; there: {', '.join(there[:5]) or 'nothing'}"
            )
    return names


def open_video(root: Path, name: str) -> Video:
    """The files of one sequence. Frames may be more than masks (test sets have the first mask only).

    A frame that is missing is an error: one whose mask is there, and one that leaves a gap in the numbers.
    """
    frames = sorted(require_folder(root / "JPEGImages" / RESOLUTION / name, "folder of frames").glob("*.jpg"))
    if not frames:
        raise InputError(f"no *.jpg in {root / 'JPEGImages' / RESOLUTION / name}: the frames of {name} are missing")
    masks = list_masks(root, name)
    if masks[0].stem != frames[0].stem:
        raise InputError(f"{name}: the first frame is {frames[0].name} but the first mask is {masks[0].name}")
    there = {frame.stem for frame in frames}
    absent = [mask.stem for mask in masks if mask.stem not in there]
    numbers = [int(stem) for stem in sorted(there) if stem.isdecimal()]
    step = min((after - before for before, after in pairwise(numbers)), default=1)
    absent += [f"{before + step:05}" for before, after in pairwise(numbers) if after - before != step]
    if absent:
        raise InputError(f"{name}: frame {absent[0]}.jpg is missing in {frames[0].parent}: copy the sequence again")
    return Video(name, tuple(frames), tuple(masks))


def list_masks(root: Path, name: str) -> list[Path]:
    """The mask files of one sequence, sorted; scoring needs no more than these."""
    folder = require_folder(root / "Annotations" / RESOLUTION / name, "folder of masks")
    masks = sorted(folder.glob("*.png"))
    if not masks:
        raise InputError(f"no *.png in {folder}: the masks of {name} are missing")
    return masks


def read_frame(path: Path) -> np.ndarray:
    """A frame as uint8 ``[H, W, 3]`` in OpenCV's BGR order, decoded by OpenCV as the published script does."""
    data = require_file(path, "frame").read_bytes()
    # OpenCV fills the missing rest of a truncated file with grey and says so on stderr only. Pillow refuses.
    if not data.rstrip(b"\0").endswith(JPEG_END):
        try:
            Image.open(io.BytesIO(data)).load()
        except OSError as error:
            raise InputError(f"{path} is not a whole image ({error}): copy it again") from error
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise InputError(f"{path} is not an image that OpenCV can read: copy it again")
    return image


def read_mask(path: Path) -> np.ndarray:
    """An index mask as integers ``[H, W]``: 0 is background, 1.. are objects, 255 is void."""
    require_file(path, "mask")
    try:
        with Image.open(path) as image:
            mask = np.array(image)
    except (OSError, SyntaxError, ValueError) as error:  # Pillow's PNG reader raises all three on broken files
        raise InputError(f"{path} is not a whole PNG ({error}): write or copy it again") from error
    if mask.ndim != 2:
        raise InputError(f"{path} has {mask.shape[2]} channels: a DAVIS mask is a PNG of object indices")
    return mask.astype(np.uint8) if mask.dtype == bool else mask
