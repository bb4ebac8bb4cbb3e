"""Videos: objects that move, turn, grow and cover each other before a panning background, in changing light."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from benchmarks.shapes.camera import Lighting, expose
from benchmarks.shapes.classes import OBJECT_CLASSES
from benchmarks.shapes.objects import Look, Pose, cast_shadow, draw_sprite, paint, sample_look
from benchmarks.shapes.randomness import generator, log_uniform
from benchmarks.shapes.stuff import paint_background

#: How far the camera swings at most: a part of the shorter side, and of the width a frame.
_REACH, _PAN = 0.3, 0.02
#: Logarithm of how much nearer, or further away, everything is at the end.
_APPROACH = 0.3
#: Standard deviation of what changes over a video: each channel of the light, and the logarithm of the exposure.
_DRIFT = 0.3


@dataclass(frozen=True)
class Video:
    """Frames and the object of every pixel."""

    frames: np.ndarray  # uint8 [T, H, W, 3], RGB
    ids: np.ndarray  # uint8 [T, H, W]: 0 background and unannotated objects, then 1 .. len(classes)
    classes: tuple[int, ...]  # object class index of id 1, 2, ...


@dataclass(frozen=True)
class _Actor:
    """An object with its path: a drift and a swing for place, angle and size."""

    look: Look
    start: Pose
    drift: np.ndarray  # pixels per frame
    swing: np.ndarray  # pixels
    rate: float  # swings, in radians per frame
    phase: float
    spin: float  # radians per frame
    pulse: float  # relative change of size

    def pose(self, frame: int) -> Pose:
        angle = self.phase + self.rate * frame
        place = self.drift * frame + self.swing * (np.sin(angle) - np.sin(self.phase))
        return Pose(
            x=self.start.x + place[0],
            y=self.start.y + place[1],
            radius=self.start.radius * (1 + self.pulse * (np.sin(angle) - np.sin(self.phase))),
            angle=self.start.angle + self.spin * frame,
            stretch=self.start.stretch,
        )


def _sample_actor(
    rng: np.random.Generator, class_index: int, frames: int, height: int, width: int, extent: tuple[float, float]
) -> _Actor:
    side = min(height, width)
    begin = rng.uniform((0.2, 0.25), (0.8, 0.75)) * (width, height)
    end = rng.uniform((0.2, 0.25), (0.8, 0.75)) * (width, height)
    # A step of more than 3 % of the side a frame would be a jump, not a motion.
    drift = (end - begin) / max(frames - 1, 1)
    drift *= min(1.0, 0.03 * side / max(float(np.linalg.norm(drift)), 1e-6))
    return _Actor(
        look=sample_look(rng, class_index),
        start=Pose(begin[0], begin[1], 0.5 * side * log_uniform(rng, *extent), rng.uniform(0, 2 * np.pi)),
        drift=drift,
        swing=rng.normal(0, 0.05 * side, 2),
        rate=rng.uniform(0.1, 0.3),
        phase=rng.uniform(0, 2 * np.pi),
        spin=rng.normal(0, 0.04),
        pulse=rng.uniform(0.0, 0.15),
    )


def _cast(rng: np.random.Generator, frames: int, height: int, width: int) -> tuple[list[_Actor], list[int]]:
    """The actors, far to near, and the id of each (0 for distractors, which share the classes of the others)."""
    count = int(rng.integers(2, 4))
    classes = rng.choice(len(OBJECT_CLASSES), count, replace=False)
    actors = [_sample_actor(rng, int(c), frames, height, width, (0.3, 0.6)) for c in classes]
    ids = list(range(1, count + 1))
    for _ in range(rng.integers(1, 4)):
        place = int(rng.integers(len(actors) + 1))
        actors.insert(place, _sample_actor(rng, int(rng.choice(classes)), frames, height, width, (0.15, 0.35)))
        ids.insert(place, 0)
    return actors, ids


def _panned(canvas: np.ndarray, x: float, y: float, height: int, width: int) -> np.ndarray:
    """The window of ``canvas`` whose corner is at the (fractional) place (x, y)."""
    move = np.array([[1, 0, -x], [0, 1, -y]])
    return cv2.warpAffine(canvas, move, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)


def render_video(seed: int, index: int, frames: int, height: int, width: int, every: int = 1) -> Video:
    """Video ``index`` of world ``seed``: two or three annotated objects and some unannotated ones.

    Every annotated object can be seen in the first frame. The frames are every so many-th of a video that is longer
    by that much: with ``every`` 4 all moves four times as far from one to the next. The result depends on the
    arguments alone.
    """
    rng = generator("video", seed, index)
    length = frames * every
    actors, ids = _cast(rng, length, height, width)
    while not _all_seen(actors, ids, height, width):
        actors, ids = _cast(rng, length, height, width)
    margin = max(4, round(_REACH * min(height, width)))
    canvas, _ = paint_background(rng, height + 2 * margin, width + 2 * margin)
    light = Lighting.sample(rng)
    heading = rng.uniform(0, 2 * np.pi)
    sweep = min(margin, _PAN * width * length)
    approach = _APPROACH * rng.choice((-1, 1))
    drift = _DRIFT * rng.normal(size=4)

    pictures = np.empty((frames, height, width, 3), np.uint8)
    labels = np.zeros((frames, height, width), np.uint8)
    for t in range(frames):
        moment = t * every
        part = moment / max(length - 1, 1)
        now = light.changed(part * drift[:3], float(np.exp(part * drift[3])))
        way = sweep * np.sin(np.pi * (part - 0.5))
        image = _panned(canvas, margin + way * np.cos(heading), margin + way * np.sin(heading), height, width)
        for actor, number in zip(actors, ids, strict=True):
            pose = actor.pose(moment)
            pose = replace(pose, radius=pose.radius * float(np.exp(part * approach)))
            cast_shadow(image, actor.look, pose, now.direction, now.shadow)
            sprite = draw_sprite(actor.look, pose, height, width, now.direction)
            if sprite is not None:
                paint(image, sprite)
                labels[t][sprite.region][sprite.alpha >= 0.5] = number
        pictures[t] = expose(rng, image, now, flicker=rng.normal(1.0, 0.02))
    annotated = sorted((number, actor.look.class_index) for actor, number in zip(actors, ids, strict=True) if number)
    return Video(pictures, labels, tuple(class_index for _, class_index in annotated))


def _all_seen(actors: list[_Actor], ids: list[int], height: int, width: int) -> bool:
    """Whether a fair part of every annotated object can be seen in the first frame."""
    owner = np.full((height, width), -1)
    sizes = []
    for index, actor in enumerate(actors):
        sprite = draw_sprite(actor.look, actor.pose(0), height, width, np.array([0.0, -1.0]))
        solid = np.zeros((0, 0), bool) if sprite is None else sprite.alpha >= 0.5
        sizes.append(int(np.count_nonzero(solid)))
        if sprite is not None:
            owner[sprite.region][solid] = index
    seen = [int(np.count_nonzero(owner == index)) for index in range(len(actors))]
    return all(s > 0 and s >= 0.6 * size for s, size, number in zip(seen, sizes, ids, strict=True) if number)
