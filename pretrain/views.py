"""What teacher and student see: nested crops, augmentation and query positions.

Every random choice is drawn from a generator that the caller seeds with (seed, epoch, image), so
neither the number of loader workers nor a restart changes what an image becomes.
Recipe: protocols of ISL-CV/FLSL ``DataAugmentationFLSL``; the student's crops are cut from the teacher's crop.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageFilter, ImageOps
from torchvision.transforms import functional as TF

from benchmarks.checkpoints.card import IMAGENET_MEAN, IMAGENET_STD
from pretrain.config import ModelConfig, ViewsConfig


class Views(NamedTuple):
    """One image: the teacher's view, the student's views and the student's query positions.

    ``student[0]`` is the global view, the rest are local; ``queries[i]`` are row-major token
    indices of ``student[i]``, ``[Q_i]`` int64, ascending.
    """

    teacher: torch.Tensor
    student: list[torch.Tensor]
    queries: list[torch.Tensor]


class ViewMaker:
    """Turns an RGB PIL image and a generator into :class:`Views`."""

    def __init__(self, model: ModelConfig, config: ViewsConfig) -> None:
        self.model, self.config = model, config

    def __call__(self, image: Image.Image, rng: np.random.Generator) -> Views:
        config, patch = self.config, self.model.patch_size
        size = self.model.image_size
        teacher_crop = random_resized_crop(image, size, config.teacher_scale, rng)
        crops = [random_resized_crop(teacher_crop, size, config.student_scale, rng)]
        crops += [
            random_resized_crop(teacher_crop, config.local_size, config.local_scale, rng)
            for _ in range(config.local_views)
        ]
        queries = [grid_queries(size // patch, config.global_window, rng, config.random_queries)]
        queries += [
            grid_queries(config.local_size // patch, config.local_window, rng, config.random_queries)
            for _ in range(config.local_views)
        ]
        return Views(
            teacher=to_tensor(self.augment(teacher_crop, rng)),
            student=[to_tensor(self.augment(crop, rng)) for crop in crops],
            queries=queries,
        )

    def augment(self, image: Image.Image, rng: np.random.Generator) -> Image.Image:
        """Colour jitter, greyscale, then either blur, or rare blur and solarisation. No flip, as published."""
        if rng.random() < self.config.jitter_probability:
            image = jitter(image, self.config.jitter, rng)
        if rng.random() < self.config.grey_probability:
            image = image.convert("L").convert("RGB")
        if rng.random() < 0.5:
            return blur(image, rng) if rng.random() < 0.5 else image
        if rng.random() < 0.1:
            image = blur(image, rng)
        return ImageOps.solarize(image) if rng.random() < 0.2 else image


def random_resized_crop(
    image: Image.Image, size: int, scale: tuple[float, float], rng: np.random.Generator
) -> Image.Image:
    """torchvision's RandomResizedCrop (area fraction ``scale``, aspect 3/4..4/3, bicubic), with its own generator."""
    width, height = image.size
    for _ in range(10):
        area = width * height * rng.uniform(*scale)
        ratio = math.exp(rng.uniform(math.log(3 / 4), math.log(4 / 3)))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            left, top = int(rng.integers(width - w + 1)), int(rng.integers(height - h + 1))
            break
    else:  # the image is too long for the aspect range: the largest central crop inside it
        w, h = min(width, round(height * 4 / 3)), min(height, round(width * 4 / 3))
        left, top = (width - w) // 2, (height - h) // 2
    return image.resize((size, size), Image.Resampling.BICUBIC, box=(left, top, left + w, top + h))


def jitter(image: Image.Image, strength: tuple[float, ...], rng: np.random.Generator) -> Image.Image:
    """torchvision's ColorJitter: brightness, contrast, saturation and hue in a random order."""
    for which in rng.permutation(4):
        amount = strength[which]
        if which == 3:
            image = TF.adjust_hue(image, float(rng.uniform(-amount, amount)))
        else:
            adjust = (TF.adjust_brightness, TF.adjust_contrast, TF.adjust_saturation)[which]
            image = adjust(image, float(rng.uniform(max(0.0, 1 - amount), 1 + amount)))
    return image


def blur(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Gaussian blur with a radius of 0.1 to 2 pixels."""
    return image.filter(ImageFilter.GaussianBlur(radius=float(rng.uniform(0.1, 2.0))))


def to_tensor(image: Image.Image) -> torch.Tensor:
    """RGB PIL image -> normalised fp32 ``[3, H, W]``."""
    return TF.normalize(TF.to_tensor(image), IMAGENET_MEAN, IMAGENET_STD)


def grid_queries(side: int, window: int, rng: np.random.Generator, random_token: bool) -> torch.Tensor:
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
    return torch.from_numpy(np.sort(rows * side + columns))
