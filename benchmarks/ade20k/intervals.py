"""Bootstrap of Semantic FPN's scores over images."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.core import bootstrap


def interval(per_image: np.ndarray) -> dict[str, Any]:
    """A record's ``interval`` of mIoU, mAcc and aAcc in percent, from ``scoring.count_folder``'s ``[images, 3, C]``."""
    return bootstrap.interval("images", len(per_image), lambda drawn: resampled(per_image, drawn))


def resampled(per_image: np.ndarray, drawn: np.ndarray) -> dict[str, np.ndarray]:
    """The scores in percent, each ``[R]``, for images drawn ``[R, images]`` times each."""
    # In floats, whose products numpy hands to BLAS; counts of pixels are exact in them.
    hit, there, said = np.moveaxis(np.tensordot(drawn.astype(np.float64), per_image.astype(np.float64), axes=1), 1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "mIoU": 100 * np.nanmean(hit / (there + said - hit), axis=1),
            "mAcc": 100 * np.nanmean(hit / there, axis=1),
            "aAcc": 100 * hit.sum(axis=1) / there.sum(axis=1),
        }
