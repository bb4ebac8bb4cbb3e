"""To look at: a video with its label maps in the objects' colours, as a strip of frames or moving."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from benchmarks.davis.dataset import VOID, Video, read_frame, read_mask
from benchmarks.davis.predictions import voc_palette
from benchmarks.files import atomic_path

MARGIN = 4
HEADER = 22
INK = (40, 40, 40)
MILLISECONDS = 100


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
        cv2.drawContours(picture, outlines, -1, (255, 255, 255), 3, cv2.LINE_AA)
        cv2.drawContours(picture, outlines, -1, colour, 1, cv2.LINE_AA)
    return picture


def sheet(
    frames: Sequence[np.ndarray],
    rows: Mapping[str, Sequence[np.ndarray]],
    titles: Sequence[str],
    height: int = 180,
) -> np.ndarray:
    """A BGR picture with a column for each frame and a row for each entry of ``rows``.

    Args:
        frames: BGR uint8 ``[H, W, 3]``.
        rows: what to call a row (for instance ``"ground truth"``) -> one label map ``[H, W]`` for each frame.
        titles: what to write above the columns.
        height: of one panel, in pixels.
    """
    width = round(height * frames[0].shape[1] / frames[0].shape[0])
    left = HEADER + MARGIN
    page = np.full((HEADER + len(rows) * (height + MARGIN), left + len(frames) * (width + MARGIN), 3), 255, np.uint8)
    for column, title in enumerate(titles):
        _write(page, title, (left + column * (width + MARGIN), HEADER - 7))
    for row, (name, maps) in enumerate(rows.items()):
        top = HEADER + row * (height + MARGIN)
        sideways = np.full((HEADER, height, 3), 255, np.uint8)
        _write(sideways, name, (MARGIN, HEADER - 7))
        page[top : top + height, :HEADER] = cv2.rotate(sideways, cv2.ROTATE_90_COUNTERCLOCKWISE)
        for column, (frame, labels) in enumerate(zip(frames, maps, strict=True)):
            # Drawn at the panel's size, so that outlines are as thin on small videos as on large ones.
            small = cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)
            labels = cv2.resize(labels.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
            start = left + column * (width + MARGIN)
            page[top : top + height, start : start + width] = overlay(small, labels)
    return page


def write_strip(
    path: str | os.PathLike[str],
    frames: Sequence[np.ndarray],
    rows: Mapping[str, Sequence[np.ndarray]],
    titles: Sequence[str],
    height: int = 180,
) -> None:
    """Write the :func:`sheet` as a PNG."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(cv2.imencode(".png", sheet(frames, rows, titles, height))[1].tobytes())


def write_animation(
    path: str | os.PathLike[str],
    frames: Sequence[np.ndarray],
    rows: Mapping[str, Sequence[np.ndarray]],
    titles: Sequence[str],
    height: int = 240,
) -> None:
    """Write a WebP that runs through the frames, the rows' panels one above the other; arguments as :func:`sheet`."""
    pages = []
    for number, (frame, title) in enumerate(zip(frames, titles, strict=True)):
        page = sheet([frame], {name: [maps[number]] for name, maps in rows.items()}, [title], height)
        pages.append(Image.fromarray(page[:, :, ::-1].copy()))
    with atomic_path(path) as temporary:
        pages[0].save(temporary, format="WEBP", save_all=True, append_images=pages[1:], duration=MILLISECONDS, loop=0)


def draw_sequence(folder: str | os.PathLike[str], video: Video, maps: Sequence[np.ndarray], columns: int = 5) -> None:
    """Write ``<sequence>.png`` (a strip of ``columns`` frames) and ``<sequence>.webp`` into ``folder``.

    ``maps`` are the label maps of the video's first frames, as many as there are; the ground truth stands above
    them where the sequence has a mask for each.
    """
    frames = [read_frame(path) for path in video.frames[: len(maps)]]
    rows = {"prediction": list(maps)}
    if len(video.masks) >= len(maps):
        rows = {"ground truth": [read_mask(path) for path in video.masks[: len(maps)]], **rows}
    titles = [f"{video.name}, frame {path.stem}" for path in video.frames[: len(maps)]]
    chosen = np.unique(np.linspace(0, len(maps) - 1, columns).round().astype(int))
    pick = {name: [row[i] for i in chosen] for name, row in rows.items()}
    write_strip(Path(folder) / f"{video.name}.png", [frames[i] for i in chosen], pick, [titles[i] for i in chosen])
    write_animation(Path(folder) / f"{video.name}.webp", frames, rows, titles)


def _write(page: np.ndarray, text: str, origin: tuple[int, int]) -> None:
    cv2.putText(page, text, origin, cv2.FONT_HERSHEY_SIMPLEX, 0.45, INK, 1, cv2.LINE_AA)
