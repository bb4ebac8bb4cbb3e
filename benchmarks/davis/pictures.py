"""One PNG to look at: frames of a video with ground truth above and prediction below, in the objects' colours."""

from __future__ import annotations

import os
from collections.abc import Sequence

import cv2
import numpy as np

from benchmarks.davis.dataset import VOID
from benchmarks.davis.predictions import voc_palette
from benchmarks.files import atomic_path

MARGIN = 4
HEADER = 22
INK = (40, 40, 40)


def overlay(frame: np.ndarray, labels: np.ndarray, opacity: float = 0.45) -> np.ndarray:
    """A BGR frame uint8 ``[H, W, 3]`` with its objects tinted and outlined; void by its outline only."""
    colours = voc_palette()[:, ::-1]
    picture = frame.copy()
    for index in np.unique(labels[labels > 0]):
        inside = labels == index
        colour = (160, 160, 160) if index == VOID else tuple(int(value) for value in colours[index])
        if index != VOID:
            picture[inside] = (1 - opacity) * picture[inside] + opacity * np.array(colour)
        outlines, _ = cv2.findContours(inside.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        # A light line under the coloured one keeps dark colours visible on dark frames.
        thickness = max(1, round(frame.shape[0] / 240))
        cv2.drawContours(picture, outlines, -1, (255, 255, 255), thickness + 2, cv2.LINE_AA)
        cv2.drawContours(picture, outlines, -1, colour, thickness, cv2.LINE_AA)
    return picture


def write_strip(
    path: str | os.PathLike[str],
    frames: Sequence[np.ndarray],
    rows: dict[str, Sequence[np.ndarray]],
    titles: Sequence[str],
    height: int = 180,
) -> None:
    """Write a PNG with a column for each frame and a row for each entry of ``rows``.

    Args:
        frames: BGR uint8 ``[H, W, 3]``.
        rows: what to call a row (for instance ``"ground truth"``) -> one label map ``[H, W]`` for each frame.
        titles: what to write above the columns.
        height: of one picture, in pixels.
    """
    width = round(height * frames[0].shape[1] / frames[0].shape[0])
    left = HEADER + MARGIN
    sheet = np.full((HEADER + len(rows) * (height + MARGIN), left + len(frames) * (width + MARGIN), 3), 255, np.uint8)
    for column, title in enumerate(titles):
        _write(sheet, title, (left + column * (width + MARGIN), HEADER - 7))
    for row, (name, maps) in enumerate(rows.items()):
        top = HEADER + row * (height + MARGIN)
        sideways = np.full((HEADER, height, 3), 255, np.uint8)
        _write(sideways, name, (MARGIN, HEADER - 7))
        sheet[top : top + height, :HEADER] = cv2.rotate(sideways, cv2.ROTATE_90_COUNTERCLOCKWISE)
        for column, (frame, labels) in enumerate(zip(frames, maps, strict=True)):
            picture = cv2.resize(overlay(frame, labels), (width, height), interpolation=cv2.INTER_AREA)
            start = left + column * (width + MARGIN)
            sheet[top : top + height, start : start + width] = picture
    with atomic_path(path) as temporary:
        temporary.write_bytes(cv2.imencode(".png", sheet)[1].tobytes())


def _write(sheet: np.ndarray, text: str, origin: tuple[int, int]) -> None:
    cv2.putText(sheet, text, origin, cv2.FONT_HERSHEY_SIMPLEX, 0.45, INK, 1, cv2.LINE_AA)
