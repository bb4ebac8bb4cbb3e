"""Backbones that know no engine. ``load_backbone`` is the one way from a checkpoint file to a network."""

from __future__ import annotations

from typing import Any

__all__ = ["HouseResNet", "HouseViT", "load_backbone"]


def __getattr__(name: str) -> Any:
    """Import on first use: timm takes seconds, and whoever wants a position table alone does without."""
    found: Any
    if name == "load_backbone":
        from benchmarks.backbones.loading import load_backbone as found
    elif name == "HouseViT":
        from benchmarks.backbones.vit import HouseViT as found
    elif name == "HouseResNet":
        from benchmarks.backbones.resnet import HouseResNet as found
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return found
