"""Traffic from above: small oriented vehicles on roads through fields, filmed by a drifting camera."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import cv2
import numpy as np

from benchmarks.shapes.camera import Lighting, expose
from benchmarks.shapes.randomness import generator
from benchmarks.shapes.roads import Road, pave, sample_roads
from benchmarks.shapes.stuff import fractal_noise
from benchmarks.shapes.vehicles import Vehicle, body, draw_vehicle, fill, sample_vehicle


@dataclass(frozen=True)
class VehicleBox:
    """One vehicle in one frame; its values follow the columns of UAVDT's ``*_gt_whole.txt``."""

    frame: int  # from 1
    target: int  # from 1, the same in all frames
    left: int
    top: int
    width: int
    height: int
    out_of_view: int  # 1 none, 2 medium, 3 small part is in view
    occlusion: int  # 1 none, 2 large, 3 medium, 4 small part is hidden
    category: int  # 1 car, 2 truck, 3 bus


@dataclass(frozen=True)
class IgnoreBox:
    """A rectangle whose vehicles are not annotated."""

    frame: int
    target: int
    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True)
class AerialClip:
    """A drone's video with the boxes of its vehicles."""

    frames: np.ndarray  # uint8 [T, H, W, 3], RGB
    vehicles: tuple[VehicleBox, ...]
    ignored: tuple[IgnoreBox, ...]


def _circle(x: float, y: float, radius: float) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    return np.stack([x + radius * np.cos(angle), y + radius * np.sin(angle)], axis=1)


def _ground(rng: np.random.Generator, height: int, width: int, unit: float) -> np.ndarray:
    """Fields: patches of green, straw and earth with furrows; ``unit`` is the length of a car."""
    image = np.zeros((height, width, 3), np.float32)
    mosaic = fractal_noise(rng, height, width, (3, 4), 1)
    x, y = np.arange(width, dtype=np.float32)[None, :], np.arange(height, dtype=np.float32)[:, None]
    level = -np.inf
    for edge in (-0.35, 0.0, 0.3, np.inf):
        colour = np.array(
            colorsys.hsv_to_rgb(
                rng.choice([rng.uniform(0.22, 0.33), rng.uniform(0.09, 0.14)]),
                rng.uniform(0.2, 0.5),
                rng.uniform(0.4, 0.65),
            ),
            np.float32,
        )
        angle, pitch = rng.uniform(0, np.pi), unit * rng.uniform(0.25, 0.5)
        furrows = 0.06 * np.sin(2 * np.pi / pitch * (np.cos(angle) * x + np.sin(angle) * y))
        patch = (mosaic >= level) & (mosaic < edge)
        image[patch] = (colour * (1 + furrows)[..., None])[patch]
        level = edge
    image *= 1 + 0.22 * fractal_noise(rng, height, width, (height / unit, width / unit), 3)[..., None]
    return image


def _plant(rng: np.random.Generator, image: np.ndarray, roads: list[Road], unit: float, light: Lighting) -> None:
    """Trees and houses beside the roads."""
    height, width = image.shape[:2]
    for _ in range(int(height * width / unit**2 / 14)):
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        radius = unit * rng.uniform(0.25, 0.6)
        clear = min(abs((np.array([x, y]) - (road.x, road.y)) @ road.across) - 1.25 * road.half_width for road in roads)
        if clear < radius:
            continue
        is_house = clear > 2.2 * radius and rng.random() < 0.25
        if is_house:
            half = radius * rng.uniform(1.0, 1.8, 2)
            corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * half
            turn = roads[0].angle
            turned = corners @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]) + (x, y)
            roof = np.array(colorsys.hsv_to_rgb(rng.uniform(0, 0.1), rng.uniform(0.1, 0.55), rng.uniform(0.45, 0.75)))
            fill(image, turned - 0.4 * radius * light.direction, 0.0, light.shadow)
            fill(image, turned, roof)
            middle = (turned[0] + turned[1]) / 2, (turned[2] + turned[3]) / 2
            fill(image, np.array([turned[0], middle[0], middle[1], turned[3]]), roof * 0.78)
            continue
        leaf = np.array(colorsys.hsv_to_rgb(rng.uniform(0.24, 0.36), rng.uniform(0.35, 0.6), rng.uniform(0.25, 0.45)))
        fill(image, _circle(x, y, radius) - 0.5 * radius * light.direction, 0.0, light.shadow)
        fill(image, _circle(x, y, radius), leaf)
        for _ in range(6):
            offset = rng.normal(0, 0.4 * radius, 2) + 0.15 * radius * light.direction
            fill(image, _circle(x + offset[0], y + offset[1], 0.35 * radius), leaf * rng.uniform(0.9, 1.45), 0.7)


@dataclass(frozen=True)
class _Trip:
    """A vehicle and its way: a lane of a road."""

    vehicle: Vehicle
    road: Road
    lane: int
    start: float
    speed: float

    def position(self, frame: int) -> tuple[np.ndarray, float]:
        forward = 1 if 2 * self.lane >= self.road.lanes else -1
        place = self.road.place(self.lane, self.start + forward * self.speed * frame)
        return place, self.road.angle + (0 if forward > 0 else np.pi)


def _traffic(rng: np.random.Generator, roads: list[Road], unit: float, reach: float) -> list[_Trip]:
    """Vehicles in their lanes. Only the first road moves: on the other they wait before the crossing."""
    trips = []
    for road in roads:
        waits = road is not roads[0]
        for lane in range(road.lanes):
            speed = 0.0 if waits else unit * rng.uniform(0.02, 0.12)
            at = -reach + rng.uniform(0, 3 * unit)
            while at < reach:
                vehicle = sample_vehicle(rng, unit)
                at += 0.5 * vehicle.length
                if not waits or abs(at) > 0.5 * vehicle.length + 1.5 * roads[0].half_width:
                    trips.append(_Trip(vehicle, road, lane, at, speed))
                at += 0.5 * vehicle.length + unit * (0.5 + rng.exponential(1.6))
    return trips


def _car_park(
    rng: np.random.Generator, image: np.ndarray, roads: list[Road], unit: float, light: Lighting
) -> np.ndarray:
    """Paint a full car park beside the first road; returns its box (left, top, right, bottom) on the ground."""
    road = roads[0]
    side = rng.choice([-1, 1])
    at = rng.choice([-1, 1]) * rng.uniform(4.5, 7) * unit  # clear of the crossing
    columns, rows = int(rng.integers(5, 9)), 2
    pitch, depth = 0.62 * unit, 1.35 * unit
    offset = side * (1.4 * road.half_width + 0.5 * rows * depth)
    start, end = at - 0.5 * columns * pitch, at + 0.5 * columns * pitch
    lot = road.strip(offset, 0.55 * rows * depth, start - 0.3 * unit, end + 0.3 * unit)
    fill(image, lot, rng.uniform(0.42, 0.52))
    for row in range(rows):
        for column in range(columns):
            place = (
                np.array([road.x, road.y])
                + (start + (column + 0.5) * pitch) * road.along
                + (offset + (row + 0.5 - 0.5 * rows) * depth) * road.across
            )
            if rng.random() < 0.85:
                vehicle = sample_vehicle(rng, unit, category=1)
                draw_vehicle(image, vehicle, place, road.angle + np.pi / 2 * rng.choice([-1, 1]), light)
    return np.concatenate([lot.min(axis=0), lot.max(axis=0)])


def render_aerial(seed: int, index: int, frames: int, height: int, width: int) -> AerialClip:
    """Clip ``index`` of world ``seed``: cars, trucks and buses on one or two roads, seen from above.

    A car is about 5 % of the width long. The car park is an ignore region. Vehicles inside of it, and those
    of which less than a quarter is in the picture, are not annotated. The result depends on the arguments alone.
    """
    rng = generator("aerial", seed, index)
    unit = width * rng.uniform(0.042, 0.062)
    margin = round(1.5 * unit)
    ground_height, ground_width = height + 2 * margin, width + 2 * margin
    reach = float(np.hypot(ground_height, ground_width))
    light = Lighting.sample(rng)
    roads = sample_roads(rng, ground_height, ground_width, unit)
    ground = _ground(rng, ground_height, ground_width, unit)
    _plant(rng, ground, roads, unit, light)
    pave(rng, ground, roads, reach)
    park = _car_park(rng, ground, roads, unit, light)
    trips = _traffic(rng, roads[:1] if rng.random() < 0.3 else roads, unit, reach)
    heading = rng.uniform(0, 2 * np.pi)
    sweep = min(margin, 0.05 * unit * frames)

    pictures = np.empty((frames, height, width, 3), np.uint8)
    boxes: list[VehicleBox] = []
    ignored: list[IgnoreBox] = []
    for t in range(frames):
        way = sweep * np.sin(np.pi * (t / max(frames - 1, 1) - 0.5))
        corner = margin + way * np.array([np.cos(heading), np.sin(heading)])
        image = cv2.warpAffine(
            ground, np.array([[1, 0, -corner[0]], [0, 1, -corner[1]]]), (width, height), borderMode=cv2.BORDER_REFLECT
        )
        unmarked = _ignore_box(t + 1, park - np.tile(corner, 2), height, width)
        ignored += unmarked
        for target, trip in enumerate(trips, start=1):
            place, angle = trip.position(t)
            box = _vehicle_box(t + 1, target, trip.vehicle, body(trip.vehicle, place - corner, angle), height, width)
            draw_vehicle(image, trip.vehicle, place - corner, angle, light)
            if box is not None and not any(_inside(box, region) for region in unmarked):
                boxes.append(box)
        pictures[t] = expose(rng, image, light, flicker=rng.normal(1.0, 0.01))
    return AerialClip(pictures, tuple(boxes), tuple(ignored))


def _clipped(box: np.ndarray, height: int, width: int) -> tuple[int, int, int, int]:
    left, top = np.clip(np.round(box[:2]), 0, (width, height)).astype(int)
    right, bottom = np.clip(np.round(box[2:]), 0, (width, height)).astype(int)
    return int(left), int(top), int(right - left), int(bottom - top)


def _ignore_box(frame: int, box: np.ndarray, height: int, width: int) -> list[IgnoreBox]:
    left, top, w, h = _clipped(box, height, width)
    return [IgnoreBox(frame, 1, left, top, w, h)] if w > 0 and h > 0 else []


def _inside(box: VehicleBox, region: IgnoreBox) -> bool:
    across = region.left <= box.left and box.left + box.width <= region.left + region.width
    return across and region.top <= box.top and box.top + box.height <= region.top + region.height


def _vehicle_box(
    frame: int, target: int, vehicle: Vehicle, corners: np.ndarray, height: int, width: int
) -> VehicleBox | None:
    whole = np.concatenate([corners.min(axis=0), corners.max(axis=0)])
    left, top, w, h = _clipped(whole, height, width)
    inside = w * h / float(np.prod(whole[2:] - whole[:2]))
    if inside < 0.25:
        return None
    out_of_view = 1 if inside > 0.95 else 2 if inside > 0.5 else 3
    return VehicleBox(frame, target, left, top, w, h, out_of_view, 1, vehicle.category)
