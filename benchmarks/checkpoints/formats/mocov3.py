"""MoCo-v3 (facebookresearch/moco-v3), ViT and ResNet-50.

Its ViT-S has 12 heads at width 384, where every other method has 6; ``arch`` in the file tells. All of its readers
take the base encoder. Positions are a fixed sine-cosine table with MAE's halves swapped; resizing is never done
there, and done here as its converter's target (DeiT) does.
"""

from __future__ import annotations

from benchmarks.checkpoints.card import SIZE_RESIZE
from benchmarks.checkpoints.container import Opened
from benchmarks.checkpoints.formats.family import Family, Place, ResNetFamily, Taken, table
from benchmarks.checkpoints.formats.layouts import RESNET

PLACES = (
    Place("base_encoder", ("state_dict",), "base_encoder."),
    Place("momentum_encoder", ("state_dict",), "momentum_encoder."),
)
DROPS = {
    r"head\.": "projection head",
    r"fc\.": "projection head",
    r"predictor\.": "predictor",
    r"momentum_encoder\.": "other branch: momentum encoder",
    r"base_encoder\.": "other branch: base encoder",
}


class MoCoV3(Family):
    method, licence, rank = "MoCo-v3", "CC-BY-NC-4.0 (MoCo-v3)", 20
    places, drops = PLACES, DROPS
    resize = SIZE_RESIZE
    heads_by_name = table({"small": 12, "base": 12})
    heads_by_width = table({384: 12, 768: 12})

    def recognises(self, opened: Opened, taken: Taken) -> bool:
        return True  # the prefixes are its own


class MoCoV3ResNet(ResNetFamily):
    method, licence, rank = "MoCo-v3 ResNet", "CC-BY-NC-4.0 (MoCo-v3)", 20
    layout, places, drops = RESNET, PLACES, DROPS

    def recognises(self, opened: Opened, taken: Taken) -> bool:
        return True


FAMILIES = (MoCoV3(), MoCoV3ResNet())
