"""Image files: finding them, and decoding any of them to upright RGB."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from benchmarks.errors import InputError
from benchmarks.files import require_folder

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".gif"}


class BrokenImage(Exception):
    """A file that cannot be decoded; the message says why."""


def list_images(root: str | Path) -> list[Path]:
    """Every image file under ``root``, sorted; :class:`InputError` when there are fewer than two."""
    root = require_folder(root, "image folder (data.root)")
    paths = sorted(path for path in root.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not paths:
        raise InputError(f"{root} holds no images ({', '.join(sorted(SUFFIXES))}): point data.root at an image folder")
    if len(paths) == 1:
        raise InputError(f"{root} holds one image only, {paths[0].name}: point data.root at a folder of many")
    return paths


def fingerprint(root: str | Path, paths: list[Path]) -> str:
    """A digest of the files' names below ``root``: training order depends on them, not on where the folder is."""
    names = "\n".join(path.relative_to(root).as_posix() for path in paths)
    return hashlib.sha256(names.encode("utf-8", "surrogateescape")).hexdigest()


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
