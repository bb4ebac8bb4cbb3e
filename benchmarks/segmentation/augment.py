"""Training views of the linear protocols: an image and its labels, scaled, cropped, flipped and distorted together.

Every random number of a view comes from the generator that is handed in, so a view is a function of seed and number
alone.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset
from torchvision.transforms import functional as tf

from benchmarks.core.model import Model
from benchmarks.segmentation.dataset import Pair
from benchmarks.segmentation.faults import VOID
from benchmarks.segmentation.features import read
from benchmarks.segmentation.geometry import resize, resize_labels, short_side
from benchmarks.segmentation.protocols import Linear

#: How much of a crop one class may cover, and how often another crop is tried.
MOST_OF_ONE, TRIES = 0.75, 10


def view(image: np.ndarray, labels: np.ndarray, protocol: Linear, side: int, rng: np.random.Generator) -> tuple:
    """A pair as ``protocol`` shows it in training: uint8 ``[h, w, 3]`` and labels ``[h, w]``, at most ``side`` each."""
    if protocol.views == "resized":
        top, left, height, width = _part(labels.shape, rng)
        image, labels = image[top : top + height, left : left + width], labels[top : top + height, left : left + width]
        image = resize(np.ascontiguousarray(image), (side, side))
        labels = resize_labels(np.ascontiguousarray(labels), (side, side))
    else:
        size = short_side(labels.shape, int(side * (rng.random() * 1.5 + 0.5)))
        image, labels = _crop(resize(image, size), resize_labels(labels, size), side, rng)
    if rng.random() < 0.5:
        image, labels = image[:, ::-1], labels[:, ::-1]
    image, labels = np.ascontiguousarray(image), np.ascontiguousarray(labels)
    return (distort(image, protocol.hue, rng) if protocol.hue else image), labels


def _crop(image: np.ndarray, labels: np.ndarray, side: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A random square, drawn anew while one class covers three quarters of what is not void."""
    margins = [max(length - side, 0) for length in labels.shape]
    for _ in range(TRIES + 1):
        top, left = (int(rng.integers(margin + 1)) for margin in margins)
        window = np.s_[top : top + side, left : left + side]
        counts = np.bincount(labels[window].ravel(), minlength=VOID + 1)[:VOID]
        if (counts > 0).sum() > 1 and counts.max() < MOST_OF_ONE * counts.sum():
            break
    return image[window], labels[window]


def _part(shape: tuple[int, ...], rng: np.random.Generator) -> tuple[int, int, int, int]:
    """torchvision's RandomResizedCrop of 80 to 100 % of the area: top, left, height, width."""
    height, width = shape[:2]
    for _ in range(10):
        area = height * width * rng.uniform(0.8, 1.0)
        ratio = np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3)))
        w, h = round((area * ratio) ** 0.5), round((area / ratio) ** 0.5)
        if 0 < w <= width and 0 < h <= height:
            return int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1)), h, w
    w, h = min(width, round(height * 4 / 3)), min(height, round(width * 4 / 3))
    return (height - h) // 2, (width - w) // 2, h, w


def distort(image: np.ndarray, kind: str, rng: np.random.Generator) -> np.ndarray:
    """Photometric distortion, each step with probability 0.5: brightness, contrast, saturation, hue, or contrast last.

    ``mmseg`` changes saturation and hue (by up to 18 of 180) in HSV, ``dinov3`` as torchvision does, hue by any amount.
    """

    def scaled(pixels: np.ndarray, alpha: float = 1.0, beta: float = 0.0) -> np.ndarray:
        return np.clip(pixels.astype(np.float32) * alpha + beta, 0, 255).astype(np.uint8)

    def contrast(pixels: np.ndarray) -> np.ndarray:
        return scaled(pixels, alpha=rng.uniform(0.5, 1.5)) if rng.integers(2) else pixels

    if rng.integers(2):
        image = scaled(image, beta=rng.uniform(-32, 32))
    last = bool(rng.integers(2))
    # mmseg does its first contrast in one mode, DINOv3's port in the other; both modes are as likely.
    image = image if last else contrast(image)
    if rng.integers(2):
        factor = rng.uniform(0.5, 1.5)
        if kind == "mmseg":
            hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
            hsv[:, :, 1] = scaled(hsv[:, :, 1], alpha=factor)
            image = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
        else:
            image = _on_tensor(image, lambda pixels: tf.adjust_saturation(pixels, factor))
    if rng.integers(2):
        if kind == "mmseg":
            hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
            hsv[:, :, 0] = (hsv[:, :, 0].astype(int) + int(rng.integers(-18, 18))) % 180
            image = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
        else:
            turn = rng.uniform(-0.5, 0.5)
            image = _on_tensor(image, lambda pixels: tf.adjust_hue(pixels, turn))
    return contrast(image) if last else image


def _on_tensor(image: np.ndarray, change) -> np.ndarray:
    return change(torch.from_numpy(image).permute(2, 0, 1)).permute(1, 2, 0).numpy()


class TrainingViews(Dataset):
    """View number i of an endless training: normalised fp32 ``[3, side, side]``, labels int64 ``[side, side]``.

    Every epoch is a permutation of the images. What a small image leaves of the square is 0 (the mean colour) and void.
    """

    def __init__(
        self, model: Model, pairs: tuple[Pair, ...], protocol: Linear, side: int, seed: int, first: int
    ) -> None:
        self.model, self.pairs, self.protocol, self.side, self.seed, self.first = (
            model, pairs, protocol, side, seed, first,
        )  # fmt: skip
        self.total = protocol.iterations * protocol.batch

    def __len__(self) -> int:
        return self.total - self.first

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        if index >= len(self):
            raise IndexError(index)
        epoch, place = divmod(index + self.first, len(self.pairs))
        chosen = np.random.default_rng((self.seed, epoch)).permutation(len(self.pairs))[place]
        rng = np.random.default_rng((self.seed, 1, index + self.first))
        image, labels = view(*read(self.pairs[chosen]), self.protocol, self.side, rng)
        pixels, target = torch.zeros(3, self.side, self.side), torch.full((self.side, self.side), VOID)
        height, width = labels.shape
        pixels[:, :height, :width] = self.model.normalise(image)
        target[:height, :width] = torch.from_numpy(labels.astype(np.int64))
        return pixels, target
