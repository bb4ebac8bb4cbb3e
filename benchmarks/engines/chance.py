"""Chance as a function of numbers, for both engines: a run that goes on draws what it would have drawn."""

from __future__ import annotations

import random

import numpy as np
import torch


def seed_all(*numbers: int) -> None:
    """Seed Python, NumPy and torch (also its GPUs) from several numbers, no two lists alike."""
    words = np.random.SeedSequence(numbers).generate_state(3)
    random.seed(int(words[0]))
    np.random.seed(words[1])
    torch.manual_seed(int(words[2]))
