"""Backgrounds: regions of 'stuff' split by smooth curves, each with its own texture and depth."""

from __future__ import annotations

import colorsys
from collections.abc import Callable

import cv2
import numpy as np

from benchmarks.shapes.classes import STUFF_CLASSES

_GROUNDS = ("grass", "water", "sand", "paving")


def fractal_noise(
    rng: np.random.Generator, height: int, width: int, cells: tuple[float, float], octaves: int = 3
) -> np.ndarray:
    """Smooth noise, float32 [H, W], about zero mean and unit range; ``cells`` are (rows, columns) of the coarsest."""
    total = np.zeros((height, width), np.float32)
    weight = 1.0
    for octave in range(octaves):
        rows = int(np.clip(round(cells[0] * 2**octave), 2, height))
        columns = int(np.clip(round(cells[1] * 2**octave), 2, width))
        coarse = rng.uniform(-1, 1, (rows, columns)).astype(np.float32)
        total += weight * cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        weight *= 0.5
    return total / 1.75


def _hsv(hue: float, saturation: float, value: float) -> np.ndarray:
    return np.array(colorsys.hsv_to_rgb(hue % 1.0, np.clip(saturation, 0, 1), np.clip(value, 0, 1)), np.float32)


def _tinted(colour: np.ndarray, brightness: np.ndarray) -> np.ndarray:
    return colour * brightness[..., None]


def _sky(rng: np.random.Generator, depth: np.ndarray) -> np.ndarray:
    height, width = depth.shape
    top = _hsv(rng.normal(0.58, 0.04), rng.uniform(0.25, 0.7), rng.uniform(0.6, 0.95))
    low = _hsv(rng.choice([0.55, 0.08, 0.12]), rng.uniform(0.05, 0.35), rng.uniform(0.85, 1.0))
    blend = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    sky = top + (low - top) * np.broadcast_to(blend, (height, width, 1))
    clouds = np.clip(fractal_noise(rng, height, width, (5, 3), 4) * 2 - rng.uniform(-0.2, 0.8), 0, 1)[..., None]
    return sky + (np.float32(0.95) - sky) * clouds * 0.8


def _mountain(rng: np.random.Generator, depth: np.ndarray) -> np.ndarray:
    height, width = depth.shape
    rock = _hsv(rng.uniform(0.55, 0.75), rng.uniform(0.1, 0.35), rng.uniform(0.4, 0.6))
    folds = np.abs(fractal_noise(rng, height, width, (6, 9), 4))
    return _tinted(rock, 0.75 + 0.8 * folds)


def _grass(rng: np.random.Generator, depth: np.ndarray) -> np.ndarray:
    height, width = depth.shape
    blade = _hsv(rng.normal(0.26, 0.04), rng.uniform(0.35, 0.75), rng.uniform(0.4, 0.7))
    tufts = fractal_noise(rng, height, width, (height / 10, width / 3), 2)
    meadow = fractal_noise(rng, height, width, (4, 4), 3)
    return _tinted(blade, 1 + 0.4 * tufts * (0.4 + 0.6 * depth) + 0.25 * meadow)


def _water(rng: np.random.Generator, depth: np.ndarray) -> np.ndarray:
    height, width = depth.shape
    sea = _hsv(rng.normal(0.53, 0.05), rng.uniform(0.35, 0.75), rng.uniform(0.4, 0.75))
    bend = fractal_noise(rng, height, width, (6, 3), 2)
    waves = np.sin(rng.uniform(28, 45) * np.log(depth + 0.25) + 3.5 * bend)
    return _tinted(sea, 1 + 0.16 * waves + 0.2 * np.maximum(waves - 0.6, 0) + 0.1 * bend)


def _sand(rng: np.random.Generator, depth: np.ndarray) -> np.ndarray:
    height, width = depth.shape
    sand = _hsv(rng.normal(0.1, 0.02), rng.uniform(0.2, 0.5), rng.uniform(0.65, 0.9))
    dunes = fractal_noise(rng, height, width, (5, 4), 2)
    grain = rng.standard_normal((height, width), dtype=np.float32)
    return _tinted(sand, 1 + 0.14 * dunes + 0.055 * grain)


def _paving(rng: np.random.Generator, depth: np.ndarray) -> np.ndarray:
    height, width = depth.shape
    stone = _hsv(rng.uniform(0.0, 0.12), rng.uniform(0.05, 0.5), rng.uniform(0.45, 0.75))
    near = depth + 0.35
    row = rng.uniform(5, 8) * np.log(near) * 2.0
    across = (np.arange(width, dtype=np.float32) / width - rng.uniform(0.2, 0.8)) * rng.uniform(4, 7) / near
    course = np.floor(row)
    across = across + 0.5 * (course % 2)
    # Every slab has its own brightness: a hash of its row and column.
    slab = np.sin(course * 12.9898 + np.floor(across) * 78.233) * 43758.5453
    slab -= np.floor(slab)
    joint = np.minimum(np.minimum(row - course, 1 - row + course), np.minimum(across % 1, 1 - across % 1) * 1.6)
    wear = fractal_noise(rng, height, width, (8, 8), 3)
    return _tinted(stone, (0.85 + 0.3 * slab + 0.12 * wear) * (0.6 + 0.4 * np.clip(joint * 14, 0, 1)))


_PAINTERS: dict[str, Callable[[np.random.Generator, np.ndarray], np.ndarray]] = {
    "sky": _sky,
    "mountain": _mountain,
    "grass": _grass,
    "water": _water,
    "sand": _sand,
    "paving": _paving,
}


def _curve(rng: np.random.Generator, width: int, level: float, roughness: float) -> np.ndarray:
    """A smooth line across the picture, float32 [W], as a fraction of the height."""
    x = np.linspace(0, 1, width, dtype=np.float32)
    line = level + rng.normal(0, 0.04) * (x - 0.5)
    for frequency in (1, 2, 3, 5):
        line = line + roughness / frequency * rng.normal() * np.sin(2 * np.pi * (frequency * x + rng.random())).astype(
            np.float32
        )
    return line


def _split(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """A smooth boundary in any direction through the picture: bool [H, W]."""
    angle = rng.uniform(0, 2 * np.pi)
    x = np.linspace(-0.5, 0.5, width, dtype=np.float32)[None, :]
    y = np.linspace(-0.5, 0.5, height, dtype=np.float32)[:, None]
    along = np.cos(angle) * x + np.sin(angle) * y
    across = -np.sin(angle) * x + np.cos(angle) * y
    bend = rng.uniform(0.03, 0.1) * np.sin(2 * np.pi * (rng.uniform(0.7, 1.5) * along + rng.random()))
    return across + bend > rng.uniform(-0.2, 0.2)


def paint_background(rng: np.random.Generator, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """A background without objects.

    Returns the picture, float32 [H, W, 3] in about 0..1, and the index into ``STUFF_CLASSES`` of every
    pixel, uint8 [H, W]. Most have a horizon with sky and perhaps mountains above it; the others look down.
    """
    y = (np.arange(height, dtype=np.float32) + 0.5)[:, None] / height
    looks_down = rng.random() < 0.2
    horizon = np.full(width, -0.3, np.float32) if looks_down else _curve(rng, width, rng.uniform(0.22, 0.5), 0.012)
    first, second = rng.choice(_GROUNDS, 2, replace=False)
    labels = np.full((height, width), STUFF_CLASSES.index(first), np.uint8)
    labels[_split(rng, height, width)] = STUFF_CLASSES.index(second)
    if not looks_down:
        labels[y < horizon] = STUFF_CLASSES.index("sky")
        if rng.random() < 0.5:
            ridge = _curve(rng, width, float(horizon.mean()) - rng.uniform(0.06, 0.16), 0.05)
            labels[(y >= ridge) & (y < horizon)] = STUFF_CLASSES.index("mountain")
    depth = np.clip((y - horizon) / (1 - horizon.min()), 0, 1).astype(np.float32)
    image = np.zeros((height, width, 3), np.float32)
    for index in np.unique(labels):
        # The blurred masks of all regions sum to one: regions meet without jagged edges.
        share = cv2.GaussianBlur((labels == index).astype(np.float32), (0, 0), 0.6)
        image += share[..., None] * _PAINTERS[STUFF_CLASSES[index]](rng, depth)
    return image, labels
