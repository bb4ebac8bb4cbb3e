"""MoCo v1 and v2 (facebookresearch/moco): the query encoder of a training file."""

from __future__ import annotations

from benchmarks.checkpoints.container import Opened
from benchmarks.checkpoints.formats.family import Place, ResNetFamily, Taken, table
from benchmarks.checkpoints.formats.layouts import RESNET


class MoCo(ResNetFamily):
    method, licence, rank = "MoCo", "CC-BY-NC-4.0 (MoCo; later commits have MIT headers)", 20
    layout = RESNET
    places = (
        Place("encoder_q", ("state_dict",), "encoder_q."),
        Place("encoder_k", ("state_dict",), "encoder_k."),
    )
    drops = table(
        {
            r"fc\.": "projection head",
            r"encoder_k\.": "other branch: key encoder",
            r"encoder_q\.": "other branch: query encoder",
            r"queue": "queue",
        }
    )

    def recognises(self, opened: Opened, taken: Taken) -> bool:
        return True


FAMILIES = (MoCo(),)
