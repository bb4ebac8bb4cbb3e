"""One object: what it looks like (:class:`Look`), where it is (:class:`Pose`), and its pixels."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import cv2
import numpy as np

from benchmarks.shapes.classes import BASE_HUES, DARK_BASE, HUE_SPREAD, MARK_HUES, OBJECT_KINDS
from benchmarks.shapes.outlines import outline
from benchmarks.shapes.randomness import log_uniform
from benchmarks.shapes.textures import TEXTURES

_SUPERSAMPLING = 4
_FIXED_POINT = 4


@dataclass(frozen=True)
class Look:
    """Everything about an individual that stays when it moves."""

    class_index: int
    outline: np.ndarray  # [P, 2], about the unit circle
    period: float  # of the texture, in radii
    texture_angle: float
    texture_offset: tuple[float, float]
    base: np.ndarray  # RGB 0..1
    mark: np.ndarray
    relief: float  # strength of the shading near the rim
    gloss: float


@dataclass(frozen=True)
class Pose:
    """Where an object is. Pixel (row i, column j) covers [j, j+1) x [i, i+1)."""

    x: float
    y: float
    radius: float
    angle: float
    stretch: float = 1.0

    @property
    def matrix(self) -> np.ndarray:
        """Object coordinates to image offsets, float64 [2, 2]."""
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        root = np.sqrt(self.stretch)
        return self.radius * np.array([[cos, -sin], [sin, cos]]) @ np.diag([root, 1 / root])


@dataclass(frozen=True)
class Sprite:
    """The part of an object inside the picture: rows ``top..``, columns ``left..``."""

    top: int
    left: int
    alpha: np.ndarray  # float32 [h, w], coverage
    colour: np.ndarray  # float32 [h, w, 3], shaded

    @property
    def region(self) -> tuple[slice, slice]:
        height, width = self.alpha.shape
        return slice(self.top, self.top + height), slice(self.left, self.left + width)


def _colours(rng: np.random.Generator, class_index: int) -> tuple[np.ndarray, np.ndarray]:
    """Base and mark colour of an individual: its class's hues within their spread, and which of both is darker."""
    hue = rng.normal(BASE_HUES[class_index], HUE_SPREAD)
    other = hue + rng.normal(MARK_HUES[class_index], HUE_SPREAD)
    dark, light = rng.uniform(0.2, 0.5), rng.uniform(0.75, 1.0)
    values = (dark, light) if DARK_BASE[class_index] else (light, dark)
    base = colorsys.hsv_to_rgb(hue % 1.0, rng.uniform(0.45, 0.9), values[0])
    mark = colorsys.hsv_to_rgb(other % 1.0, rng.uniform(0.1, 0.7), values[1])
    return np.array(base, np.float32), np.array(mark, np.float32)


def sample_look(rng: np.random.Generator, class_index: int) -> Look:
    """A new individual of a class."""
    shape, _ = OBJECT_KINDS[class_index]
    base, mark = _colours(rng, class_index)
    return Look(
        class_index=class_index,
        outline=outline(shape, rng),
        period=log_uniform(rng, 0.4, 0.62),
        texture_angle=rng.uniform(0, 2 * np.pi),
        texture_offset=(rng.uniform(-0.3, 0.3), rng.uniform(-0.3, 0.3)),
        base=base,
        mark=mark,
        relief=rng.uniform(0.25, 0.6),
        gloss=rng.uniform(0.0, 0.35),
    )


def polygon(look: Look, pose: Pose) -> np.ndarray:
    """The outline in image coordinates, float64 [P, 2] as (x, y); it may leave the picture."""
    return look.outline @ pose.matrix.T + (pose.x, pose.y)


def _window(points: np.ndarray, height: int, width: int, margin: float) -> tuple[int, int, int, int]:
    left, top = np.floor(points.min(axis=0) - margin).astype(int)
    right, bottom = np.ceil(points.max(axis=0) + margin).astype(int)
    return max(top, 0), min(bottom, height), max(left, 0), min(right, width)


def coverage(points: np.ndarray, height: int, width: int, margin: float = 1.0) -> tuple[int, int, np.ndarray] | None:
    """Rasterise a polygon with anti-aliasing.

    Returns (top, left, float32 [h, w]) for the window around it, or None when it is outside the picture.
    """
    top, bottom, left, right = _window(points, height, width, margin)
    if top >= bottom or left >= right:
        return None
    scale = _SUPERSAMPLING
    canvas = np.zeros(((bottom - top) * scale, (right - left) * scale), np.uint8)
    # OpenCV puts the centre of the first pixel at 0, here it is at 1/2.
    fixed = np.round((((points - (left, top)) * scale) - 0.5) * (1 << _FIXED_POINT)).astype(np.int32)
    cv2.fillPoly(canvas, [fixed], 255, shift=_FIXED_POINT)
    small = cv2.resize(canvas, (right - left, bottom - top), interpolation=cv2.INTER_AREA)
    return top, left, small.astype(np.float32) / 255


def _shading(alpha: np.ndarray, radius: float, light: np.ndarray, relief: float) -> np.ndarray:
    """Brightness factor of a pillow-shaped relief lit from direction ``light`` (image coordinates)."""
    inside = (alpha > 0.5).astype(np.uint8)
    depth = cv2.distanceTransform(inside, cv2.DIST_L2, 3) / max(0.55 * radius, 1.0)
    surface = np.sqrt(np.minimum(depth, 1.0)) * radius
    surface = cv2.GaussianBlur(surface, (0, 0), max(0.1 * radius, 0.6))
    slope_x, slope_y = cv2.Sobel(surface, -1, 1, 0, scale=1 / 8), cv2.Sobel(surface, -1, 0, 1, scale=1 / 8)
    lambert = -(slope_x * light[0] + slope_y * light[1]) / np.sqrt(1 + slope_x**2 + slope_y**2)
    return 1 + relief * lambert


def draw_sprite(look: Look, pose: Pose, height: int, width: int, light: np.ndarray) -> Sprite | None:
    """The pixels of an object in a picture of ``height`` x ``width``; None when it is outside.

    ``light`` is the unit vector, in image coordinates, that points to the light.
    """
    raster = coverage(polygon(look, pose), height, width)
    if raster is None:
        return None
    top, left, alpha = raster
    rows, columns = alpha.shape
    inverse = np.linalg.inv(pose.matrix)
    x = np.arange(left, left + columns) + 0.5 - pose.x
    y = np.arange(top, top + rows) + 0.5 - pose.y
    turn = np.array(
        [
            [np.cos(look.texture_angle), -np.sin(look.texture_angle)],
            [np.sin(look.texture_angle), np.cos(look.texture_angle)],
        ]
    )
    to_texture = turn @ inverse
    u = (to_texture[0, 0] * x[None, :] + to_texture[0, 1] * y[:, None] + look.texture_offset[0]).astype(np.float32)
    v = (to_texture[1, 0] * x[None, :] + to_texture[1, 1] * y[:, None] + look.texture_offset[1]).astype(np.float32)
    _, texture = OBJECT_KINDS[look.class_index]
    marks = TEXTURES[texture](u, v, look.period, 1.0 / pose.radius)[..., None]
    shade = _shading(alpha, pose.radius, light, look.relief)[..., None]
    colour = (look.base + (look.mark - look.base) * marks) * shade
    colour += look.gloss * np.maximum(shade - 1, 0)
    return Sprite(top, left, alpha, colour.astype(np.float32))


def cast_shadow(image: np.ndarray, look: Look, pose: Pose, light: np.ndarray, strength: float) -> None:
    """Darken ``image`` (float32 [H, W, 3], in place) where the object keeps the light away."""
    offset = -0.22 * pose.radius * light
    blur = max(0.09 * pose.radius, 0.7)
    raster = coverage(polygon(look, pose) + offset, image.shape[0], image.shape[1], margin=3 * blur)
    if raster is None:
        return
    top, left, alpha = raster
    soft = cv2.GaussianBlur(alpha, (0, 0), blur, borderType=cv2.BORDER_REPLICATE)
    image[top : top + alpha.shape[0], left : left + alpha.shape[1]] *= 1 - strength * soft[..., None]


def paint(image: np.ndarray, sprite: Sprite) -> None:
    """Lay a sprite over ``image`` (float32 [H, W, 3], in place)."""
    view = image[sprite.region]
    view += sprite.alpha[..., None] * (sprite.colour - view)
