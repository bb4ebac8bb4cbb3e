"""Films (mp4 and the like) as frames, decoded by OpenCV: frame 12 of ``dog.mp4`` has the path ``dog.mp4/00012``."""

from __future__ import annotations

import os
import threading
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from benchmarks.errors import InputError

SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm"})

# FFmpeg's own words about a broken film would stand beside the one line that is ours.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

_reader = threading.local()  # the film that this thread reads, and the number of the frame that comes next


def film_frames(path: Path) -> tuple[Path, ...]:
    """The paths of a film's frames; :class:`InputError` when OpenCV decodes none."""
    about = path.stat()
    count = _count(path, about.st_size, about.st_mtime_ns)
    if not count:
        raise InputError(f"{path} has no frame that OpenCV can decode: encode it as H.264, or give its frames as PNG")
    return tuple(path / f"{number:05}" for number in range(count))


def film_of(frame: Path) -> Path | None:
    """The film that the path of a frame names, or None where it is a picture's."""
    return frame.parent if frame.parent.suffix.lower() in SUFFIXES and frame.parent.is_file() else None


def read_film_frame(frame: Path) -> np.ndarray:
    """One frame, upright, BGR uint8 ``[H, W, 3]``. In order they are decoded once; going back begins anew."""
    film, number = frame.parent, int(frame.name)
    capture, following = getattr(_reader, "place", (None, 0))
    if capture is None or _reader.film != film or following > number:
        capture, following = cv2.VideoCapture(str(film)), 0
        _reader.film = film
    # Jumping to a number is a guess in films with reordered frames: those before it are decoded and dropped.
    while following < number and capture.grab():
        following += 1
    whole, pixels = capture.read()
    if not whole:
        _reader.place = (None, 0)
        raise InputError(f"{film} ends before its frame {number}: copy it again")
    _reader.place = (capture, following + 1)
    return pixels


@lru_cache
def _count(path: Path, size: int, changed: int) -> int:
    # The number in a film's header is an estimate.
    capture, count = cv2.VideoCapture(str(path)), 0
    while capture.grab():
        count += 1
    return count
