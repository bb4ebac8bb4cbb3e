"""Light and camera: what happens to the colours between the world and the stored picture."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

#: The least factor of a channel: light of one colour alone would leave nothing to see.
_FAINTEST = 0.3


@dataclass(frozen=True)
class Lighting:
    """The light of one scene."""

    direction: np.ndarray  # unit vector to the light, image coordinates
    shadow: float  # 0 none .. 1 black
    gradient: tuple[float, float]  # change of brightness over the picture, along x and y
    tint: np.ndarray  # RGB factors
    exposure: float
    noise: float  # standard deviation of the sensor noise

    @staticmethod
    def sample(rng: np.random.Generator) -> Lighting:
        """Light from somewhere above, of any hour: its colour and strength differ more than those of two classes."""
        angle = rng.uniform(-0.85, -0.15) * np.pi
        return Lighting(
            direction=np.array([np.cos(angle), np.sin(angle)]),
            shadow=rng.uniform(0.25, 0.6),
            gradient=(rng.normal(0, 0.12), rng.normal(0, 0.12)),
            tint=_colour(rng.normal(1.0, 0.2, 3)),
            exposure=rng.uniform(0.5, 1.42),
            noise=rng.uniform(0.008, 0.025),
        )

    def changed(self, tint: np.ndarray, exposure: float) -> Lighting:
        """This light with its colour changed by the parts ``tint``, float [3], and its exposure by a factor."""
        return replace(self, tint=_colour(self.tint * (1 + tint)), exposure=self.exposure * exposure)


def _colour(factors: np.ndarray) -> np.ndarray:
    return np.maximum(factors, _FAINTEST).astype(np.float32)


def expose(rng: np.random.Generator, radiance: np.ndarray, light: Lighting, flicker: float = 1.0) -> np.ndarray:
    """The stored picture, uint8 [H, W, 3], of ``radiance`` (float32 [H, W, 3], about 0..1)."""
    height, width, _ = radiance.shape
    x = np.linspace(-0.5, 0.5, width, dtype=np.float32)[None, :, None]
    y = np.linspace(-0.5, 0.5, height, dtype=np.float32)[:, None, None]
    falloff = 1 + np.float32(light.gradient[0]) * x + np.float32(light.gradient[1]) * y - 0.25 * (x * x + y * y)
    picture = radiance * (falloff * (light.tint * np.float32(light.exposure * flicker)))
    picture += np.float32(light.noise) * rng.standard_normal(radiance.shape, dtype=np.float32)
    return (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)
