"""SCRL and BYOL (kakaobrain/scrl): torchvision's ResNet as a numbered ``nn.Sequential``, online and target network."""

from __future__ import annotations

from benchmarks.checkpoints.container import Opened
from benchmarks.checkpoints.formats.family import WHOLE_FILE, Place, ResNetFamily, Taken, table
from benchmarks.checkpoints.formats.layouts import RESNET_SEQUENTIAL


class Scrl(ResNetFamily):
    method, licence, rank = "SCRL or BYOL (kakaobrain)", "Apache-2.0 (SCRL)", 20
    layout = RESNET_SEQUENTIAL
    places = (
        Place("online_network", ("online_network_state_dict",), "encoder."),
        Place("target_network", ("target_network_state_dict",), "encoder."),
        Place(WHOLE_FILE, (), "encoder."),
    )
    drops = table({r"projector\.": "projection head", r"predictor\.": "predictor", r"roi_align": "pooling"})

    def recognises(self, opened: Opened, taken: Taken) -> bool:
        return True


FAMILIES = (Scrl(),)
