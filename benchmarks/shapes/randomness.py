"""Where every random choice of the world comes from."""

from __future__ import annotations

import zlib

import numpy as np


def generator(stream: str, seed: int, index: int) -> np.random.Generator:
    """The random numbers of one picture: a function of (stream, seed, index) and of nothing else."""
    return np.random.default_rng([zlib.crc32(stream.encode()), seed, index])


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """A number between ``low`` and ``high`` whose logarithm is uniform: as many small as large scales."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
