"""Roads seen from above: where their lanes run, and how they are painted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.shapes.vehicles import fill

_LANE = 1.15  # width of a lane, in car widths


@dataclass(frozen=True)
class Road:
    """A straight road through the ground; lanes run both ways."""

    x: float
    y: float
    angle: float
    lanes: int
    lane_width: float

    @property
    def along(self) -> np.ndarray:
        return np.array([np.cos(self.angle), np.sin(self.angle)])

    @property
    def across(self) -> np.ndarray:
        return np.array([-np.sin(self.angle), np.cos(self.angle)])

    @property
    def half_width(self) -> float:
        return 0.5 * self.lanes * self.lane_width

    def place(self, lane: int, at: float) -> np.ndarray:
        """Ground position ``at`` pixels along the middle of a lane."""
        offset = (lane + 0.5) * self.lane_width - self.half_width
        return np.array([self.x, self.y]) + at * self.along + offset * self.across

    def strip(self, offset: float, half_width: float, start: float, end: float) -> np.ndarray:
        """A rectangle along the road, float64 [4, 2]."""
        centre = np.array([self.x, self.y])
        corners = [(start, -half_width), (end, -half_width), (end, half_width), (start, half_width)]
        return np.array([centre + a * self.along + (offset + b) * self.across for a, b in corners])


def sample_roads(rng: np.random.Generator, height: int, width: int, unit: float) -> list[Road]:
    lane_width = _LANE * 0.42 * unit * 1.25
    angle = rng.uniform(-0.5, 0.5)
    x, y = width * rng.uniform(0.35, 0.65), height * rng.uniform(0.35, 0.65)
    roads = [Road(x, y, angle, int(rng.choice([2, 4])), lane_width)]
    if rng.random() < 0.6:
        roads.append(Road(x, y, angle + rng.uniform(1.2, 1.9), 2, lane_width))
    return roads


def pave(rng: np.random.Generator, image: np.ndarray, roads: list[Road], reach: float) -> None:
    """Asphalt first, then the markings, so that crossings stay open."""
    asphalt = rng.uniform(0.3, 0.42)
    for road in roads:
        fill(image, road.strip(0, 1.25 * road.half_width, -reach, reach), asphalt * 1.35)
    for road in roads:
        fill(image, road.strip(0, 1.08 * road.half_width, -reach, reach), asphalt)
    for road in roads:
        line = 0.035 * road.lane_width
        for side in (-1, 1):
            fill(image, road.strip(side * road.half_width, line, -reach, reach), 0.85, 0.7)
        for lane in range(1, road.lanes):
            offset = lane * road.lane_width - road.half_width
            if 2 * lane == road.lanes:
                fill(image, road.strip(offset, 1.4 * line, -reach, reach), np.array((0.85, 0.7, 0.3)), 0.8)
                continue
            for start in np.arange(-reach, reach, 2.4 * road.lane_width).tolist():
                fill(image, road.strip(offset, line, start, start + road.lane_width), 0.85, 0.7)
    for road in roads[1:]:
        # The middle of a crossing carries no markings.
        reach_across = 1.08 * (roads[0].half_width + road.half_width)
        fill(image, road.strip(0, 1.08 * road.half_width, -reach_across, reach_across), asphalt)
