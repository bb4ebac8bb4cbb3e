"""The images to pretrain on, as a list that loader workers share."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np

from benchmarks.errors import InputError
from benchmarks.files import require_folder
from benchmarks.listing import IMAGE_SUFFIXES, list_images


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


def open_images(root: str | Path) -> ImageList:
    """Every picture under ``root`` (:mod:`benchmarks.listing`); :class:`InputError` when there are fewer than two."""
    root = require_folder(root, "image folder (data.root)")
    names = list_images(root)
    if not names:
        kinds = ", ".join(sorted(IMAGE_SUFFIXES))
        raise InputError(f"{root} holds no images ({kinds}): point data.root at an image folder")
    if len(names) == 1:
        raise InputError(f"{root} holds one image only, {names[0]}: point data.root at a folder of many")
    return ImageList(root, names)
