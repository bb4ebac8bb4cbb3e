"""Colour jitter, greyscale, blur and solarisation of BYOL's recipe as FLSL uses it: drawn first, applied later.

The distributions are those of the published ``DataAugmentationFLSL`` (torchvision's transforms on PIL
images); the arithmetic is OpenCV's on uint8 arrays, several times faster. No flip, as published.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from pretrain.config import ViewsConfig

#: Values from this one on are inverted by solarisation.
SOLARIZE_FROM = 128
SOLARIZE = np.where(np.arange(256) < SOLARIZE_FROM, np.arange(256), 255 - np.arange(256)).astype(np.uint8)

#: Smallest and largest standard deviation of a blur, in pixels.
SMALLEST_BLUR, LARGEST_BLUR = 0.1, 2.0


class Augmentation(NamedTuple):
    """What happens to one view, in this order."""

    jitter: tuple[tuple[int, float], ...]  # (0 brightness | 1 contrast | 2 saturation | 3 hue, amount) in random order
    grey: bool
    blur: float  # standard deviation in pixels; 0: none
    solarize: bool


def draw_augmentation(config: ViewsConfig, rng: np.random.Generator) -> Augmentation:
    """Draw one view's augmentation. Half of them blur often, the others rarely but may solarise."""
    jitter: tuple[tuple[int, float], ...] = ()
    if rng.random() < config.jitter_probability:
        brightness, contrast, saturation, hue = config.jitter
        low_high = [(max(0.0, 1 - x), 1 + x) for x in (brightness, contrast, saturation)] + [(-hue, hue)]
        jitter = tuple((int(which), float(rng.uniform(*low_high[which]))) for which in rng.permutation(4))
    grey = rng.random() < config.grey_probability
    mostly_blur = rng.random() < 0.5
    blur = float(rng.uniform(SMALLEST_BLUR, LARGEST_BLUR)) if rng.random() < (0.5 if mostly_blur else 0.1) else 0.0
    return Augmentation(jitter, bool(grey), blur, bool(not mostly_blur and rng.random() < 0.2))


def augment(image: np.ndarray, drawn: Augmentation) -> np.ndarray:
    """Apply ``drawn`` to RGB uint8 ``[H, W, 3]``; the input is left as it is."""
    for which, amount in drawn.jitter:
        image = JITTER[which](image, amount)
    if drawn.grey:
        image = cv2.cvtColor(grey_of(image), cv2.COLOR_GRAY2RGB)
    if drawn.blur:
        image = cv2.GaussianBlur(image, (0, 0), drawn.blur, borderType=cv2.BORDER_REPLICATE)
    return cv2.LUT(image, SOLARIZE) if drawn.solarize else image


def grey_of(image: np.ndarray) -> np.ndarray:
    """Luma (ITU-R 601) of RGB uint8, ``[H, W]``."""
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)


def brightness(image: np.ndarray, factor: float) -> np.ndarray:
    return cv2.convertScaleAbs(image, alpha=factor)


def contrast(image: np.ndarray, factor: float) -> np.ndarray:
    """Blend with the mean luma."""
    mean = int(cv2.mean(grey_of(image))[0] + 0.5)  # type: ignore[index]  # never the lone number of OpenCV's stubs
    table = np.arange(256, dtype=np.float32) * factor + mean * (1 - factor)
    return cv2.LUT(image, np.clip(table, 0, 255).astype(np.uint8))


def saturation(image: np.ndarray, factor: float) -> np.ndarray:
    """Blend with the picture's luma."""
    return cv2.addWeighted(image, factor, cv2.cvtColor(grey_of(image), cv2.COLOR_GRAY2RGB), 1 - factor, 0)


def hue(image: np.ndarray, shift: float) -> np.ndarray:
    """Turn the hue by ``shift`` of the whole circle."""
    hsv: np.ndarray = cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL)
    hsv[..., 0] += np.uint8(int(shift * 255) % 256)  # wraps around, as the circle does
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB_FULL)


JITTER = (brightness, contrast, saturation, hue)
