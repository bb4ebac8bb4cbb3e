"""Scenes with many objects, and single pictures with one dominant object."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from benchmarks.shapes.camera import Lighting, expose
from benchmarks.shapes.classes import OBJECT_CLASSES
from benchmarks.shapes.objects import Look, Pose, Sprite, cast_shadow, draw_sprite, paint, polygon, sample_look
from benchmarks.shapes.randomness import generator, log_uniform
from benchmarks.shapes.stuff import paint_background

#: An object of which less than this part can be seen is taken out of the scene.
MIN_VISIBLE = 0.3
_MIN_PIXELS = 20

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class SceneObject:
    """One annotated object, or one crowd of small objects. Boxes are (left, top, right, bottom)."""

    class_index: int
    box: Box  # of the whole object, hidden parts included; may leave the picture
    area: float  # of the whole object
    visible_box: Box  # of the visible pixels
    visible_area: int
    is_crowd: bool


@dataclass(frozen=True)
class Scene:
    """A picture with its ground truth."""

    image: np.ndarray  # uint8 [H, W, 3], RGB
    instances: np.ndarray  # int32 [H, W]: 0 no object, i + 1 the visible part of objects[i]
    semantic: np.ndarray  # uint8 [H, W]: object classes, then stuff classes; every pixel has one
    objects: tuple[SceneObject, ...]


@dataclass(frozen=True)
class _Item:
    """Objects that are annotated together: one, or a crowd."""

    parts: tuple[tuple[Look, Pose], ...]

    @property
    def nearness(self) -> float:
        return max(pose.y + 0.6 * pose.radius for _, pose in self.parts)


def _sample_pose(rng: np.random.Generator, height: int, width: int, extent: tuple[float, float]) -> Pose:
    return Pose(
        x=rng.uniform(0.04, 0.96) * width,
        y=rng.uniform(0.1, 0.96) * height,
        radius=0.5 * min(height, width) * log_uniform(rng, *extent),
        angle=rng.uniform(0, 2 * np.pi),
        stretch=log_uniform(rng, 0.78, 1.28),
    )


def _sample_crowd(rng: np.random.Generator, height: int, width: int) -> _Item:
    """Five to nine small objects of one class, close together."""
    class_index = int(rng.integers(len(OBJECT_CLASSES)))
    radius = 0.5 * min(height, width) * rng.uniform(0.05, 0.09)
    x, y = rng.uniform(0.2, 0.8) * width, rng.uniform(0.3, 0.85) * height
    parts = []
    for _ in range(rng.integers(5, 10)):
        offset = rng.normal(0, 1.8 * radius, 2) * (1.5, 1.0)
        size = radius * rng.uniform(0.8, 1.2)
        pose = Pose(x + offset[0], y + offset[1], size, rng.uniform(0, 2 * np.pi))
        parts.append((sample_look(rng, class_index), pose))
    return _Item(tuple(parts))


def _compose(rng: np.random.Generator, items: list[_Item], height: int, width: int) -> Scene:
    """Paint ``items`` (far to near) over a new background and annotate what can be seen of them."""
    image, stuff = paint_background(rng, height, width)
    light = Lighting.sample(rng)
    drawn = [[draw_sprite(look, pose, height, width, light.direction) for look, pose in item.parts] for item in items]
    kept = _visible(drawn, height, width)

    instances = np.zeros((height, width), np.int32)
    semantic = stuff + np.uint8(len(OBJECT_CLASSES))
    for number, index in enumerate(kept, start=1):
        for (look, pose), sprite in zip(items[index].parts, drawn[index], strict=True):
            cast_shadow(image, look, pose, light.direction, light.shadow)
            if sprite is None:
                continue
            paint(image, sprite)
            solid = sprite.alpha >= 0.5
            instances[sprite.region][solid] = number
            semantic[sprite.region][solid] = look.class_index
    objects = tuple(_annotate(items[index], instances == number) for number, index in enumerate(kept, start=1))
    return Scene(expose(rng, image, light), instances, semantic, objects)


def _visible(drawn: list[list[Sprite | None]], height: int, width: int) -> list[int]:
    """Indices of the items that are not hidden by nearer ones (or by the edge of the picture)."""
    kept = []
    covered = np.zeros((height, width), bool)
    for index in reversed(range(len(drawn))):
        mask = np.zeros((height, width), bool)
        for sprite in drawn[index]:
            if sprite is not None:
                mask[sprite.region] |= sprite.alpha >= 0.5
        seen = np.count_nonzero(mask & ~covered)
        if seen >= max(_MIN_PIXELS, MIN_VISIBLE * np.count_nonzero(mask)):
            kept.append(index)
            covered |= mask
    return kept[::-1]


def _annotate(item: _Item, mask: np.ndarray) -> SceneObject:
    points = [polygon(look, pose) for look, pose in item.parts]
    every = np.concatenate(points)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return SceneObject(
        class_index=item.parts[0][0].class_index,
        box=(*every.min(axis=0).tolist(), *every.max(axis=0).tolist()),
        area=float(sum(cv2.contourArea(p.astype(np.float32)) for p in points)),
        visible_box=(float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)),
        visible_area=int(np.count_nonzero(mask)),
        is_crowd=len(item.parts) > 1,
    )


def _height_width(size: int | tuple[int, int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else size


def render_scene(seed: int, index: int, size: int | tuple[int, int] = 224) -> Scene:
    """Scene ``index`` of world ``seed``: three to nine objects of 10 to 50 % of the shorter side.

    ``size`` is the side in pixels, or (height, width). The result depends on the arguments alone. Near
    objects cover far ones; one scene in five holds a crowd.
    """
    height, width = _height_width(size)
    rng = generator("scene", seed, index)
    items = [
        _Item(
            ((sample_look(rng, int(rng.integers(len(OBJECT_CLASSES)))), _sample_pose(rng, height, width, (0.1, 0.5))),)
        )
        for _ in range(rng.integers(3, 10))
    ]
    if rng.random() < 0.2:
        items.append(_sample_crowd(rng, height, width))
    return _compose(rng, sorted(items, key=lambda item: item.nearness), height, width)


def render_single(seed: int, index: int, class_index: int, size: int | tuple[int, int] = 224) -> Scene:
    """An ImageNet-like picture of ``class_index``: one object of that class, its box 30 to 80 % of the shorter side.

    Smaller objects of other classes surround it and may cover parts of it. One picture in six shows two
    objects of the class. The annotation (``objects``) holds all objects of the scene, distractors too.
    """
    height, width = _height_width(size)
    rng = generator(f"single {class_index}", seed, index)
    others = [c for c in range(len(OBJECT_CLASSES)) if c != class_index]
    distractors = [
        _Item(((sample_look(rng, int(rng.choice(others))), _sample_pose(rng, height, width, (0.09, 0.25))),))
        for _ in range(rng.integers(2, 7))
    ]
    centred = replace(
        _sample_pose(rng, height, width, (0.34, 0.8)),
        x=rng.uniform(0.32, 0.68) * width,
        y=rng.uniform(0.36, 0.66) * height,
    )
    main = [_Item(((sample_look(rng, class_index), centred),))]
    if rng.random() < 1 / 6:
        main.insert(0, _Item(((sample_look(rng, class_index), _sample_pose(rng, height, width, (0.3, 0.4))),)))
    # Most distractors are behind the main object; a few are before it.
    before = int(rng.integers(0, 3))
    return _compose(rng, distractors[before:] + main + distractors[:before], height, width)
