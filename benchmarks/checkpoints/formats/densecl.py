"""DenseCL (WXinlong/DenseCL): ``backbone.*`` and the same again as ``encoder_q.0.*``; or extracted, with ``author``."""

from __future__ import annotations

import torch

from benchmarks.checkpoints.container import Opened
from benchmarks.checkpoints.formats.family import Place, ResNetFamily, Taken, table
from benchmarks.checkpoints.formats.layouts import RESNET
from benchmarks.errors import InputError

ALIAS = "encoder_q.0."


class DenseCL(ResNetFamily):
    method, licence, rank = "DenseCL", "GPL-3.0 (DenseCL)", 18
    layout = RESNET
    places = (Place("state_dict", ("state_dict",), "backbone."), Place("state_dict", ("state_dict",)))
    drops = table(
        {
            r"fc\.": "classifier",
            r"encoder_q\.": "neck of the query encoder",
            r"encoder_k\.": "other branch: key encoder",
            r"(?:head|neck)\.": "head",
            r"queue": "queue",
        }
    )

    def recognises(self, opened: Opened, taken: Taken) -> bool:
        return opened.content.get("author") == "DenseCL" or any(
            name.startswith("encoder_q.0.") for name in taken.tensors
        )

    def prepare(self, opened: Opened, taken: Taken) -> None:
        for name in [name for name in taken.tensors if name.startswith(ALIAS)]:
            ours = taken.tensors.get(name.removeprefix(ALIAS))
            if ours is None or not torch.equal(ours, taken.tensors[name]):
                raise InputError(
                    f"{taken.source_names[name]} should repeat the backbone and does not: the file is mixed up"
                )
            taken.drop(name, "the backbone again, under its other name")


FAMILIES = (DenseCL(),)
