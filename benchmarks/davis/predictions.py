"""Label maps on disk: indexed PNGs that the official evaluator and any image viewer can read."""

from __future__ import annotations

import os

import numpy as np
from PIL import Image

from benchmarks.files import atomic_path


def voc_palette() -> np.ndarray:
    """The 256 colours of PASCAL VOC, uint8 ``[256, 3]``: neighbouring indices get distant colours.

    Bits 0, 1, 2 of an index go to the highest bit of red, green, blue; bits 3, 4, 5 to the next, and so on.
    """
    index = np.arange(256)
    palette = np.zeros((256, 3), np.uint8)
    for level in range(8):
        for channel in range(3):
            bit = (index >> (3 * level + channel)) & 1
            palette[:, channel] |= (bit << (7 - level)).astype(np.uint8)
    return palette


def write_prediction(path: str | os.PathLike[str], labels: np.ndarray) -> None:
    """Write uint8 ``labels [H, W]`` as a PNG whose pixels are the indices, coloured by the VOC palette."""
    image = Image.fromarray(labels)
    image.putpalette(voc_palette().tobytes())
    with atomic_path(path) as temporary:
        image.save(temporary, format="PNG")
