"""What the network sees of a pair under a protocol, and the label map that goes with it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import RandomResizedCrop, v2
from torchvision.transforms.v2 import functional as tf

from benchmarks.segmentation import geometry
from benchmarks.segmentation.dataset import Pair
from benchmarks.segmentation.features import read

Item = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Proportional:
    """The whole image with its short side at ``side``, in whole patches; labels at their own size, or ``small``."""

    side: int
    patch: int
    small_labels: bool = False

    def __call__(self, pair: Pair) -> Item:
        """Image and labels."""
        image, labels = read(pair)
        size = geometry.in_patches(geometry.short_side(labels.shape, self.side), self.patch)
        return geometry.resize(image, size), geometry.resize_labels(labels, size) if self.small_labels else labels


@dataclass(frozen=True)
class Stretched:
    """The whole image and its labels at ``side`` x ``side``."""

    side: int
    filter: str
    rule: str  # of the labels, see geometry.resize_labels

    def __call__(self, pair: Pair) -> Item:
        """Image and labels."""
        image, labels = read(pair)
        size = (self.side, self.side)
        return geometry.resize(image, size, self.filter), geometry.resize_labels(labels, size, self.rule)


@dataclass(frozen=True)
class Disturbed:
    """open-hummingbird's training view: colours jittered, then a random part stretched to ``side`` x ``side``.

    Parts larger than the image are drawn anew, as torchvision does. Every random number is a function of ``seed`` and
    the pair's name, so the order of pairs does not matter.
    """

    side: int
    jitter: float
    scale: tuple[float, ...]
    seed: tuple[int, ...]

    def __call__(self, pair: Pair) -> Item:
        """Image and labels."""
        image, labels = read(pair)
        mark = hashlib.sha256(repr((self.seed, pair.name)).encode()).digest()[:8]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int.from_bytes(mark, "little") >> 1)
            picture: Image.Image = Image.fromarray(image)
            for name in ("brightness", "contrast", "saturation", "hue"):
                if float(torch.rand(())) < 0.5:
                    picture = v2.ColorJitter(**{name: self.jitter})(picture)
            top, left, height, width = RandomResizedCrop.get_params(picture, list(self.scale), [3 / 4, 4 / 3])
        pixels = tf.resized_crop(tf.pil_to_tensor(picture), top, left, height, width, [self.side] * 2, antialias=True)
        part = np.ascontiguousarray(labels[top : top + height, left : left + width])
        return pixels.permute(1, 2, 0).numpy(), geometry.resize_labels(part, (self.side, self.side), "torch")


def stacked(labels: Sequence[np.ndarray]) -> torch.Tensor:
    """Label maps of one size as one tensor uint8 ``[B, H, W]``."""
    return torch.from_numpy(np.stack(labels))
