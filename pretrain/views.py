"""What teacher and student see: nested crops, augmentation and query positions.

Every random choice is drawn from a generator that the caller seeds with (seed, epoch, image), so
neither the number of loader workers nor of processes nor a restart changes what an image becomes.
Recipe: ``DataAugmentationFLSL`` of ISL-CV/FLSL; the student's crops are cut from the teacher's crop.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from pretrain.augment import Augmentation, augment, draw_augmentation
from pretrain.config import ModelConfig, ViewsConfig


class Views(NamedTuple):
    """One image. ``student[0]`` is the global view, the rest are local; the other lists go with ``student``."""

    teacher: np.ndarray  # uint8 [S, S, 3]
    student: list[np.ndarray]  # uint8 [s, s, 3]
    queries: list[np.ndarray]  # row-major token indices [Q], int64, ascending
    boxes: list[np.ndarray]  # where the view lies in the teacher's, as fractions (x0, y0, x1, y1), float32
    draws: np.ndarray  # float32 [views, depth, 2]: the uniform numbers of drop path; a teacher's last, if at all
    plain: list[np.ndarray]  # the teacher's and the student's crops before augmentation, where they are wanted
    drawn: list[Augmentation]  # what the teacher's and the student's views still need; empty: nothing


class ViewMaker:
    """Turns an RGB image and a generator into :class:`Views`.

    ``keep_plain`` keeps the crops before augmentation; ``augment_later`` leaves all crops so, and says what to do;
    ``teacher_drawn``: the teacher's view has a row of ``draws`` too, because the student sees it.
    """

    def __init__(
        self,
        model: ModelConfig,
        config: ViewsConfig,
        keep_plain: bool = False,
        augment_later: bool = False,
        teacher_drawn: bool = False,
    ) -> None:
        self.model, self.config, self.teacher_drawn = model, config, teacher_drawn
        self.keep_plain, self.augment_later = keep_plain, augment_later

    def __call__(self, image: np.ndarray, rng: np.random.Generator) -> Views:
        """``image``: RGB uint8 ``[H, W, 3]``, at least one pixel."""
        config, patch, side = self.config, self.model.patch_size, self.model.image_size
        crops, boxes, queries = [], [], []
        teacher = resized_crop(image, draw_crop(image.shape, config.teacher_scale, rng), side)
        for view in range(1 + config.local_views):
            size, scale, window = (
                (config.local_size, config.local_scale, config.local_window)
                if view
                else (side, config.student_scale, config.global_window)
            )
            left, top, width, height = box = draw_crop(teacher.shape, scale, rng)
            crops.append(resized_crop(teacher, box, size))
            boxes.append(np.array([left, top, left + width, top + height], np.float32) / side)
            queries.append(grid_queries(size // patch, window, rng, config.random_queries))
        plain = [teacher, *crops]
        drawn = [draw_augmentation(config, rng) for _ in plain]
        draws = rng.random((len(crops) + self.teacher_drawn, self.model.depth, 2), dtype=np.float32)
        views = plain if self.augment_later else [augment(*each) for each in zip(plain, drawn, strict=True)]
        return Views(
            views[0],
            views[1:],
            queries,
            boxes,
            draws,
            plain if self.keep_plain else [],
            drawn if self.augment_later else [],
        )


def draw_crop(
    shape: tuple[int, ...], scale: tuple[float, float], rng: np.random.Generator
) -> tuple[int, int, int, int]:
    """torchvision's RandomResizedCrop (area fraction ``scale``, aspect 3/4..4/3): left, top, width, height."""
    height, width = shape[:2]
    for _ in range(10):
        area = width * height * rng.uniform(*scale)
        ratio = math.exp(rng.uniform(math.log(3 / 4), math.log(4 / 3)))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            return int(rng.integers(width - w + 1)), int(rng.integers(height - h + 1)), w, h
    # The image is too long for the aspect range: the largest central crop inside it.
    w, h = min(width, max(1, round(height * 4 / 3))), min(height, max(1, round(width * 4 / 3)))
    return (width - w) // 2, (height - h) // 2, w, h


def resized_crop(image: np.ndarray, box: tuple[int, int, int, int], size: int) -> np.ndarray:
    """Cut ``box`` (left, top, width, height) and resize to ``[size, size, 3]``, bicubic with antialiasing.

    torch's uint8 kernel gives what PIL's BICUBIC gives, up to one grey level.
    """
    left, top, width, height = box
    cut = torch.from_numpy(image[top : top + height, left : left + width]).permute(2, 0, 1)[None]
    cut = cut.contiguous(memory_format=torch.channels_last)  # the kernel's fast path
    resized = F.interpolate(cut, size=(size, size), mode="bicubic", antialias=True)
    return np.ascontiguousarray(resized[0].permute(1, 2, 0).numpy())


def grid_queries(side: int, window: int, rng: np.random.Generator, random_token: bool) -> np.ndarray:
    """Query positions by grid sampling: one token in every ``window x window`` cell of a ``side x side`` grid.

    Returns ascending row-major indices, int64 ``[(side // window)^2]``. Where the cells do not fill
    the grid, they sit in one of its four corners by chance. The token is the cell's top left one,
    or a random one of it.
    """
    cells = side // window
    spare = side - cells * window
    rows = np.repeat(np.arange(cells) * window, cells)
    columns = np.tile(np.arange(cells) * window, cells)
    if spare:
        rows = rows + spare * int(rng.integers(2))
        columns = columns + spare * int(rng.integers(2))
    if random_token:
        rows = rows + rng.integers(window, size=cells**2)
        columns = columns + rng.integers(window, size=cells**2)
    return np.sort(rows * side + columns)
