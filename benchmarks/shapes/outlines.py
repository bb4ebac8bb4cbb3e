"""Outlines of the shapes: closed polygons that fit the unit circle, y pointing down."""

from __future__ import annotations

import numpy as np

_POINTS = 96


def _regular(corners: int, radii: tuple[float, ...]) -> np.ndarray:
    angles = 2 * np.pi * np.arange(corners) / corners - np.pi / 2
    radius = np.resize(radii, corners)
    return np.stack([radius * np.cos(angles), radius * np.sin(angles)], axis=1)


_CORNERS = {
    "disc": _regular(48, (0.86,)),
    "triangle": _regular(3, (1.12,)),
    "square": _regular(4, (1.1,)),
    "star": _regular(10, (1.1, 0.5)),
}


def _rounded(corners: np.ndarray, passes: int) -> np.ndarray:
    """Chaikin's corner cutting, one eighth of each edge at a time."""
    for _ in range(passes):
        following = np.roll(corners, -1, axis=0)
        near, far = 0.875 * corners + 0.125 * following, 0.125 * corners + 0.875 * following
        corners = np.stack([near, far], axis=1).reshape(-1, 2)
    return corners


def _resampled(polygon: np.ndarray, count: int) -> np.ndarray:
    closed = np.concatenate([polygon, polygon[:1]])
    length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(closed, axis=0), axis=1))])
    at = np.linspace(0.0, length[-1], count, endpoint=False)
    return np.stack([np.interp(at, length, closed[:, axis]) for axis in (0, 1)], axis=1)


def outline(shape: str, rng: np.random.Generator) -> np.ndarray:
    """One individual of ``shape`` as float64 [96, 2]: rounded corners and a slightly wobbly contour."""
    polygon = _resampled(_rounded(_CORNERS[shape], passes=3), _POINTS)
    angle = np.arctan2(polygon[:, 1], polygon[:, 0])
    wobble = np.ones(_POINTS)
    for order in (2, 3, 5):
        wobble += rng.normal(0.0, 0.02) * np.cos(order * angle + rng.uniform(0, 2 * np.pi))
    return polygon * wobble[:, None]
