"""One PNG to look at: the chosen box of an image, its nine patches, and whether each voted for the true class."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from benchmarks.files import atomic_path
from benchmarks.knn.geometry import CROP

RIGHT, WRONG, PLAIN = (0, 150, 90), (213, 60, 0), (30, 90, 200)
MARGIN = 8
LINE = 14


def draw_patches(
    image: Image.Image, ids: np.ndarray, patch: int, votes: Sequence[str] | None = None, truth: str = "", zoom: int = 2
) -> Image.Image:
    """The 224-pixel crop with its nine patches outlined, enlarged, and the votes listed beside it.

    Args:
        image: the crop as :func:`benchmarks.knn.run.crop` gives it.
        ids: nine token ids, row-major.
        votes: the class that each patch ranks first; the outlines are green where it is ``truth``, else red.
    """
    side = CROP * zoom
    sheet = Image.new("RGB", (side + (230 if votes else 0), side), "white")
    sheet.paste(image.resize((side, side), Image.Resampling.BICUBIC))
    draw = ImageDraw.Draw(sheet)
    # Several cells of a small box can fall on one token: their numbers share one outline.
    numbers: dict[int, list[int]] = {}
    for number, token in enumerate(ids.tolist(), start=1):
        numbers.setdefault(token, []).append(number)
    step = patch * zoom
    for token, cells in numbers.items():
        row, column = divmod(token, CROP // patch)
        colour = PLAIN if votes is None else RIGHT if votes[cells[0] - 1] == truth else WRONG
        corner = (column * step, row * step)
        draw.rectangle((*corner, corner[0] + step - 1, corner[1] + step - 1), outline="white", width=4)
        draw.rectangle((*corner, corner[0] + step - 1, corner[1] + step - 1), outline=colour, width=2)
        text = ",".join(map(str, cells))
        draw.text((corner[0] + 4, corner[1] + 2), text, fill="white", stroke_width=2, stroke_fill=colour)
    if votes:
        draw.text((side + MARGIN, MARGIN), f"true class: {truth}", fill="black")
        for number, one in enumerate(votes, start=1):
            place = (side + MARGIN, MARGIN + (number + 1) * LINE)
            draw.text(place, f"{number}  {one}", fill=RIGHT if one == truth else WRONG)
    return sheet


def write_picture(path: str | os.PathLike[str], picture: Image.Image) -> None:
    """Write ``picture`` as a PNG, atomically."""
    with atomic_path(path) as temporary:
        picture.save(temporary, format="PNG")
