"""Backbones that know no engine. ``load_backbone`` is the one way from a checkpoint file to a network."""

from benchmarks.backbones.loading import load_backbone
from benchmarks.backbones.vit import HouseViT

__all__ = ["HouseViT", "load_backbone"]
