"""Vehicles from above: a body, glass, and what tells a car from a truck and a bus."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np

from benchmarks.shapes.camera import Lighting
from benchmarks.shapes.objects import coverage

#: Category number in UAVDT's files -> (name, length and width in car lengths, share of the traffic).
CATEGORIES: dict[int, tuple[str, float, float, float]] = {
    1: ("car", 1.0, 0.42, 0.74),
    2: ("truck", 1.75, 0.5, 0.15),
    3: ("bus", 2.3, 0.52, 0.11),
}

_GLASS = np.array([0.12, 0.15, 0.2], np.float32)


@dataclass(frozen=True)
class Vehicle:
    """An individual vehicle; lengths in pixels."""

    category: int
    length: float
    width: float
    paint: np.ndarray  # RGB 0..1
    cargo: np.ndarray


def _paint(rng: np.random.Generator) -> np.ndarray:
    """Most vehicles are white, grey or black."""
    saturation = rng.uniform(0.0, 0.1) if rng.random() < 0.6 else rng.uniform(0.5, 0.85)
    return np.array(colorsys.hsv_to_rgb(rng.random(), saturation, rng.choice([0.2, 0.55, 0.75, 0.92])), np.float32)


def sample_vehicle(rng: np.random.Generator, unit: float, category: int | None = None) -> Vehicle:
    """A new vehicle; ``unit`` is the length of an average car in pixels."""
    if category is None:
        category = int(rng.choice(list(CATEGORIES), p=[share for *_, share in CATEGORIES.values()]))
    _, length, width, _ = CATEGORIES[category]
    size = unit * rng.uniform(0.9, 1.1)
    return Vehicle(category, length * size, width * size, _paint(rng), _paint(rng))


def _part(
    vehicle: Vehicle, place: np.ndarray, angle: float, along: tuple[float, float], across: tuple[float, float]
) -> np.ndarray:
    """A rectangle of the vehicle; ``along`` and ``across`` run from -1 (rear, left) to 1 (front, right)."""
    a, b = 0.5 * vehicle.length * np.array(along), 0.5 * vehicle.width * np.array(across)
    corners = np.array([(a[0], b[0]), (a[1], b[0]), (a[1], b[1]), (a[0], b[1])])
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return corners @ turn + place


def body(vehicle: Vehicle, place: np.ndarray, angle: float) -> np.ndarray:
    """The corners of the vehicle, float64 [4, 2]."""
    return _part(vehicle, place, angle, (-1, 1), (-1, 1))


def _rounded(corners: np.ndarray) -> np.ndarray:
    following = np.roll(corners, -1, axis=0)
    length = np.linalg.norm(following - corners, axis=1, keepdims=True)
    cut = 0.16 * length.min() / length
    return np.stack([corners + cut * (following - corners), following - cut * (following - corners)], 1).reshape(-1, 2)


def _details(vehicle: Vehicle) -> list[tuple[tuple[float, float], tuple[float, float], np.ndarray]]:
    """The parts on top of the body as (along, across, colour)."""
    light, dark = np.minimum(vehicle.paint * 1.12 + 0.03, 1), vehicle.paint * 0.75
    if vehicle.category == 1:
        return [
            ((0.2, 0.45), (-0.78, 0.78), _GLASS),
            ((-0.75, -0.55), (-0.72, 0.72), _GLASS),
            ((-0.52, 0.18), (-0.8, 0.8), light),
        ]
    if vehicle.category == 2:
        return [
            ((0.68, 0.84), (-0.8, 0.8), _GLASS),
            ((0.5, 0.58), (-1, 1), _GLASS * 0.8),
            ((-1.0, 0.5), (-1.0, 1.0), vehicle.cargo),
            ((-0.94, 0.44), (-0.86, 0.86), np.minimum(vehicle.cargo * 1.1, 1)),
        ]
    windows = [
        ((a, a + 0.14), (s, s + 0.14), _GLASS) for a in np.arange(-0.85, 0.7, 0.22).tolist() for s in (-0.95, 0.81)
    ]
    return [
        *windows,
        ((0.86, 0.95), (-0.85, 0.85), _GLASS),
        ((-0.55, -0.3), (-0.4, 0.4), dark),
        ((0.2, 0.45), (-0.4, 0.4), dark),
        ((-0.88, 0.8), (-0.06, 0.06), light),
    ]


def draw_vehicle(image: np.ndarray, vehicle: Vehicle, place: np.ndarray, angle: float, light: Lighting) -> None:
    """Paint a vehicle and its shadow on ``image`` (float32 [H, W, 3], in place); ``place`` is its centre (x, y)."""
    shadow = body(vehicle, place - 0.22 * vehicle.width * light.direction, angle)
    fill(image, shadow, 0.0, light.shadow)
    fill(image, _rounded(body(vehicle, place, angle)), vehicle.paint)
    for along, across, colour in _details(vehicle):
        fill(image, _part(vehicle, place, angle, along, across), colour)


def fill(image: np.ndarray, points: np.ndarray, colour: np.ndarray | float, opacity: float = 1.0) -> None:
    """Paint a polygon (float64 [P, 2] as (x, y)) on ``image`` (float32 [H, W, 3], in place)."""
    raster = coverage(points, *image.shape[:2])
    if raster is not None:
        top, left, alpha = raster
        view = image[top : top + alpha.shape[0], left : left + alpha.shape[1]]
        view += opacity * alpha[..., None] * (np.float32(colour) - view)
