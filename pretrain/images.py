"""Image files: finding them, and decoding any of them to upright RGB."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from benchmarks.errors import InputError
from benchmarks.files import require_folder

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".gif"}


class BrokenImage(Exception):
    """A file that cannot be decoded; the message says why."""


class ImageList:
    """The image files below a folder, in sorted order, as one block of bytes.

    A million Python strings would be copied into every loader worker bit by bit, because counting references writes
    to them; one block stays shared.
    """

    def __init__(self, root: Path, names: list[str]) -> None:
        encoded = [os.fsencode(name) for name in sorted(names)]
        self.root, self._names = root, b"".join(encoded)
        self._ends = np.cumsum([len(name) for name in encoded])

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, index: int) -> Path:
        begin = self._ends[index - 1] if index else 0
        return self.root / os.fsdecode(self._names[begin : self._ends[index]])

    def fingerprint(self) -> str:
        """A digest of the names below the folder: training order depends on them, not on where the folder is."""
        return hashlib.sha256(self._names + self._ends.tobytes()).hexdigest()


def list_images(root: str | Path) -> ImageList:
    """Every image file under ``root``, links followed; :class:`InputError` when there are fewer than two."""
    root = require_folder(root, "image folder (data.root)")
    names = [
        os.path.relpath(os.path.join(folder, name), root)
        for folder, _, files in os.walk(root, followlinks=True)
        for name in files
        if os.path.splitext(name)[1].lower() in SUFFIXES
    ]
    if not names:
        raise InputError(f"{root} holds no images ({', '.join(sorted(SUFFIXES))}): point data.root at an image folder")
    if len(names) == 1:
        raise InputError(f"{root} holds one image only, {names[0]}: point data.root at a folder of many")
    return ImageList(root, names)


def open_rgb(path: Path) -> np.ndarray:
    """Decode an image of any mode, upright by its EXIF tag: RGB uint8 ``[H, W, 3]``. Raises :class:`BrokenImage`.

    Transparency is dropped, as ``convert("RGB")`` of the published data loader does; 16-bit greyscale keeps its
    upper byte. Floating-point images have no agreed range and count as broken.
    """
    try:
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image)
            if upright.mode == "F":
                raise BrokenImage("floating-point pixels have no agreed range: convert the file to 8 bits")
            if upright.mode.startswith("I"):
                values = np.asarray(upright).astype(np.int64)
                upright = Image.fromarray((values >> 8 if values.max() > 255 else values).clip(0, 255).astype(np.uint8))
            if upright.mode == "P" and "transparency" in upright.info:
                upright = upright.convert("RGBA")
            return np.array(upright.convert("RGB"))
    except (BrokenImage, MemoryError):
        raise
    except Exception as error:  # decoders raise whatever they like on damaged files
        raise BrokenImage(f"{type(error).__name__}: {error}") from error
