"""mmseg as an engine: a canonical checkpoint, a config and label maps in; predicted label maps and scores out.

Runs are mmengine's, as mmdet's are: :mod:`benchmarks.engines.mmdet` starts, resumes and tests them.
"""

from __future__ import annotations

import os
from typing import Any

from benchmarks.engines.mmdet import LAUNCHERS, device_name, test
from benchmarks.engines.mmdet import train as train_mmengine
from benchmarks.errors import InputError

__all__ = ["LAUNCHERS", "ade20k_palette", "device_name", "require_mmseg", "test", "train"]


def require_mmseg() -> None:
    """:class:`InputError` where mmseg, or mmcv's compiled operators, are missing."""
    try:
        import mmcv.ops  # noqa: F401
        import mmseg.registry  # noqa: F401
    except ImportError as error:
        raise InputError(f"mmseg cannot be used ({error}): install requirements.txt as the Makefile does") from error


def train(
    config_file: str | os.PathLike[str],
    checkpoint: str | os.PathLike[str],
    out: str | os.PathLike[str],
    changes: dict[str, Any],
    seed: int,
    resume: bool = True,
    progress: bool = True,
    launcher: str = "none",
):
    """Train a segmentation network with verified loading; all else is as in :func:`benchmarks.engines.mmdet.train`."""
    require_mmseg()
    return train_mmengine(config_file, checkpoint, out, changes, seed, resume, progress, launcher)


def ade20k_palette() -> list[list[int]]:
    """The RGB colours of ADE20K's 150 classes, as mmseg has them."""
    require_mmseg()
    from mmseg.datasets import ADE20KDataset

    return ADE20KDataset.METAINFO["palette"]
