"""Textures of the objects, in the object's own coordinates and anti-aliased analytically.

Each function gives the coverage [0, 1] of the mark colour at the points ``u``, ``v`` (float32 [H, W], the
object fills the unit circle). ``period`` is the repeat length and ``pixel`` the width of a pixel, both in
object coordinates; edges are one pixel wide, so small objects do not flicker.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def _edge(distance: np.ndarray, pixel: float) -> np.ndarray:
    """Coverage of a pixel whose centre is ``distance`` inside (positive) an edge."""
    return np.clip(0.5 + distance / pixel, 0.0, 1.0)


def _bars(position: np.ndarray, period: float, pixel: float) -> np.ndarray:
    """Equal bars: on for half of each period."""
    fraction = position / period
    fraction -= np.floor(fraction)
    return _edge((0.25 - np.abs(fraction - 0.5)) * period, pixel)


def stripes(u: np.ndarray, v: np.ndarray, period: float, pixel: float) -> np.ndarray:
    """Parallel bars."""
    return _bars(u, period, pixel)


def checks(u: np.ndarray, v: np.ndarray, period: float, pixel: float) -> np.ndarray:
    """A chessboard."""
    a, b = _bars(u, 1.25 * period, pixel), _bars(v, 1.25 * period, pixel)
    return a * b + (1 - a) * (1 - b)


def dots(u: np.ndarray, v: np.ndarray, period: float, pixel: float) -> np.ndarray:
    """Round spots on a hexagonal lattice; they cover half of the area, as the marks of all textures do."""
    row = 0.866 * period
    nearest = np.full_like(u, np.inf)
    for shift in (0.0, 0.5):
        x = u / period + shift
        y = v / row / 2 + shift
        dx, dy = (x - np.round(x)) * period, (y - np.round(y)) * 2 * row
        nearest = np.minimum(nearest, dx * dx + dy * dy)
    return _edge(0.37 * period - np.sqrt(nearest), pixel)


def rings(u: np.ndarray, v: np.ndarray, period: float, pixel: float) -> np.ndarray:
    """Concentric rings."""
    return _bars(np.sqrt(u * u + v * v), period, pixel)


TEXTURES: dict[str, Callable[[np.ndarray, np.ndarray, float, float], np.ndarray]] = {
    "stripes": stripes,
    "checks": checks,
    "dots": dots,
    "rings": rings,
}
