"""VISSL (facebookresearch/vissl): the trunk under ``classy_state_dict``, ViT (DINO) or ResNet-50.

DINO's teacher hides in the loss. VISSL resizes positions without DINO's offset.
"""

from __future__ import annotations

from benchmarks.checkpoints.card import SIZE_RESIZE
from benchmarks.checkpoints.container import Opened
from benchmarks.checkpoints.formats.family import Family, Place, ResNetFamily, Taken, table
from benchmarks.checkpoints.formats.layouts import RESNET

UNKNOWN = "unknown (VISSL trains many methods)"
TRUNK = ("classy_state_dict", "base_model", "model", "trunk")
LOSS = ("classy_state_dict", "loss")
PREFIXES = ("", "base_model.")
TEACHERS = ("momentum_teacher.module.trunk.", "momentum_teacher.trunk.")
IN_LOSS = {
    r"momentum_teacher\.": "other parts of the teacher",
    r"(?:center|dino_loss|loss|.*\.center)": "state of the loss",
}


class Vissl(Family):
    method, licence, rank = "unknown (layout VISSL)", UNKNOWN, 15
    known = "unknown"
    places = (
        *(Place("trunk", TRUNK, prefix) for prefix in PREFIXES),
        *(Place("teacher", LOSS, prefix) for prefix in TEACHERS),
        Place("trunk", ("model_state_dict",)),
    )
    drops = table({r"heads?\.": "projection head", r"mask_token$|patch_masking\.": "mask token", **IN_LOSS})
    resize = SIZE_RESIZE

    def recognises(self, opened: Opened, taken: Taken) -> bool:
        return True  # no other program writes these keys


class VisslResNet(ResNetFamily):
    method, licence, rank = "unknown (layout VISSL ResNet)", UNKNOWN, 15
    known = "unknown"
    layout = RESNET
    places = (
        *(Place("trunk", TRUNK, prefix + "_feature_blocks.") for prefix in PREFIXES),
        *(Place("teacher", LOSS, prefix + "_feature_blocks.") for prefix in TEACHERS),
        Place("trunk", ("model_state_dict",), "_feature_blocks."),
    )
    drops = table({r"heads?\.": "projection head", r"fc\.": "classifier", **IN_LOSS})

    def recognises(self, opened: Opened, taken: Taken) -> bool:
        return True


FAMILIES = (Vissl(), VisslResNet())
