"""mmseg as an engine: a canonical checkpoint, a config and label maps in; predicted label maps and scores out."""

from __future__ import annotations

from benchmarks.engines.mmengine_run import device_name, read_config, require_installed, test, train
from benchmarks.errors import InputError

__all__ = [
    "ade20k_classes",
    "ade20k_palette",
    "device_name",
    "read_config",
    "require_installed",
    "require_mmseg",
    "test",
    "train",
]


def require_mmseg() -> None:
    """:class:`InputError` where mmseg or mmcv cannot be imported."""
    try:
        import mmcv.ops  # noqa: F401
        import mmseg.registry  # noqa: F401
    except ImportError as error:
        raise InputError(f"mmseg cannot be used ({error}): pip install -r requirements.txt") from error


def ade20k_classes() -> tuple[str, ...]:
    """ADE20K's 150 classes as mmseg writes them, which is not the benchmark's own spelling."""
    require_mmseg()
    from mmseg.datasets import ADE20KDataset

    return tuple(ADE20KDataset.METAINFO["classes"])


def ade20k_palette() -> list[list[int]]:
    """The RGB colours of ADE20K's 150 classes, as mmseg has them."""
    require_mmseg()
    from mmseg.datasets import ADE20KDataset

    return ADE20KDataset.METAINFO["palette"]
