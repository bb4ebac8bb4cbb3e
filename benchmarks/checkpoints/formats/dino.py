"""DINO (facebookresearch/dino): the trainer's file with teacher and student, of a ViT or a ResNet.

Its bare backbone has the layout of many others' and names no method (``bare.py``).
"""

from __future__ import annotations

from benchmarks.checkpoints.formats.family import DINO_PLACES, Family, ResNetFamily, table
from benchmarks.checkpoints.formats.layouts import RESNET

HEAD = {r"head\.": "projection head"}


class Dino(Family):
    """A training file of DINO."""

    method, licence, rank = "DINO", "Apache-2.0 (DINO)", 40
    needs = ("dino_loss",)
    drops = HEAD
    heads_by_width = table({192: 3, 384: 6, 768: 12})


class DinoResNet(ResNetFamily):
    """DINO's ResNet-50 in a training file (the published backbone has torchvision's bare layout)."""

    method, licence, rank = "DINO ResNet", "Apache-2.0 (DINO)", 40
    layout, places, needs = RESNET, DINO_PLACES, ("dino_loss",)
    drops = table({**HEAD, r"fc\.": "classifier"})


FAMILIES = (Dino(), DinoResNet())
