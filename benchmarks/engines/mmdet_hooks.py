"""The hooks and the image loader that mmdet's configs name; all OpenMMLab engines share them."""

from benchmarks.engines.mmengine_hooks import SNAPSHOT, AtomicSnapshot, LoadWholeImage, LossLog, TestBar

__all__ = ["SNAPSHOT", "AtomicSnapshot", "LoadWholeImage", "LossLog", "TestBar"]
