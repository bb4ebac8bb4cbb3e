"""Do all pictures decode? Every file is read to its end, on all cores."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image
from tqdm import tqdm

Result = TypeVar("Result")


def decode_size(path: Path) -> tuple[int, int]:
    """(height, width) of a picture, read to its end; OSError when it is broken or no picture."""
    with Image.open(path) as image:
        image.load()
        return image.height, image.width


def decode_labels(path: Path) -> np.ndarray:
    """The indices of a label PNG, uint8 [H, W]; OSError when it is broken or has colours instead of indices."""
    with Image.open(path) as image:
        if image.mode not in ("L", "P", "1"):
            raise OSError(f"its pixels are {image.mode} colours, not label indices")
        return np.array(image if image.mode != "1" else image.convert("L"), np.uint8)


def read_all(
    paths: Iterable[Path], read: Callable[[Path], Result], problems: list[str], what: str
) -> dict[Path, Result]:
    """Apply ``read`` to every path; a file that fails becomes one line in ``problems``."""

    def attempt(path: Path) -> Result | Exception:
        try:
            return read(path)
        except (OSError, ValueError, SyntaxError) as error:
            return error

    paths = list(paths)
    results: dict[Path, Result] = {}
    # Decoding leaves the interpreter lock, so threads are enough.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        outcomes = tqdm(pool.map(attempt, paths), total=len(paths), desc=what, leave=False, dynamic_ncols=True)
        for path, outcome in zip(paths, outcomes, strict=True):
            if isinstance(outcome, Exception):
                problems.append(f"{path} does not decode ({outcome}): fetch this file again")
            else:
                results[path] = outcome
    return results
