"""DINO (facebookresearch/dino): the bare backbone, the trainer's file with teacher and student, and the ResNet-50.

The bare layout is also that of NeCo's and Leopart's files on DINO backbones, and of many others; it names no method.
"""

from __future__ import annotations

from benchmarks.checkpoints.container import Opened
from benchmarks.checkpoints.formats.family import (
    DINO_PLACES,
    Facts,
    Family,
    ResNetFamily,
    Taken,
    is_square,
    rows_of,
    table,
)
from benchmarks.checkpoints.formats.layouts import RESNET
from benchmarks.errors import InputError

HEAD = {r"head\.": "projection head"}


class Dino(Family):
    """A training file of DINO."""

    method, licence, rank = "DINO", "Apache-2.0 (DINO)", 40
    needs = ("dino_loss",)
    drops = HEAD
    heads_by_width = table({192: 3, 384: 6, 768: 12})


class DinoLayout(Family):
    """DINO's names and a class row, without a word on the method."""

    method, licence, rank = "DINO layout", "unknown (the file does not name its method)", 95
    drops = table({**HEAD, r"mask_token$": "mask token", r"fc_norm\.": "norm of the pooled vector, not of the tokens"})

    def recognises(self, opened: Opened, taken: Taken) -> bool:
        if "cls_token" not in taken.tensors or rows_of(taken) is None:
            return False
        if is_square(rows_of(taken)) and not is_square(rows_of(taken) - 1):
            raise InputError(
                f"the class token has no row in the position table of {rows_of(taken)} rows: the table is cut, or this "
                "is FLSL with learnable positions (its training file, which has flsl_loss, converts)"
            )
        return True

    def facts(self, opened: Opened, taken: Taken) -> Facts:
        taken.notes.append("the file does not name its method; resize rule and eps are those of DINO")
        return super().facts(opened, taken)


class DinoResNet(ResNetFamily):
    """DINO's ResNet-50 in a training file (the published backbone has torchvision's bare layout)."""

    method, licence, rank = "DINO ResNet", "Apache-2.0 (DINO)", 40
    layout, places, needs = RESNET, DINO_PLACES, ("dino_loss",)
    drops = table({**HEAD, r"fc\.": "classifier"})


FAMILIES = (Dino(), DinoLayout(), DinoResNet())
