"""Values that change during training, as arrays with one entry a step (or an epoch)."""

from __future__ import annotations

import numpy as np


def cosine(start: float, end: float, steps: int, warmup_steps: int = 0) -> np.ndarray:
    """Linear warm-up from 0 to ``start``, then half a cosine to ``end``; float64 ``[steps]``.

    The warm-up's last step is ``start`` itself, and the cosine begins there again: the published
    schedule repeats the value (ISL-CV/FLSL, ``cosine_scheduler``).
    """
    warmup_steps = min(warmup_steps, steps)
    warmup = np.linspace(0.0, start, warmup_steps)
    progress = np.arange(steps - warmup_steps) / max(1, steps - warmup_steps)
    return np.concatenate([warmup, end + 0.5 * (start - end) * (1.0 + np.cos(np.pi * progress))])


def warmup_then_constant(start: float, value: float, warmup: int, total: int) -> np.ndarray:
    """Linear from ``start`` to ``value`` over ``warmup`` entries, then constant; float64 ``[total]``."""
    warmup = min(warmup, total)
    return np.concatenate([np.linspace(start, value, warmup), np.full(total - warmup, value)])
