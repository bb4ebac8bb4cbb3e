"""NeCo (vpariza/NeCo): bare dicts of the backbone that it trained on, DINO's or DINOv2's; teacher and student.

The tensors say which backbone; that it is NeCo's, the published file name alone (``neco_on_dinov2_vit14_model.ckpt``).
"""

from __future__ import annotations

from benchmarks.checkpoints.container import Opened
from benchmarks.checkpoints.formats.dino import DinoLayout
from benchmarks.checkpoints.formats.dinov2 import DinoV2
from benchmarks.checkpoints.formats.family import Facts, Family, Taken

NOTE = "that this is NeCo is told by the file name alone; the network is told by the tensors"


def _named(opened: Opened) -> bool:
    return any("neco" in file.name.lower() for file in opened.files)


class NecoOnDinoV2(DinoV2):
    method, licence, rank = "NeCo", "MIT (NeCo)", 22

    def recognises(self, opened: Opened, taken: Taken) -> bool:
        return _named(opened) and super().recognises(opened, taken)

    def facts(self, opened: Opened, taken: Taken) -> Facts:
        taken.notes.append(NOTE)
        return super().facts(opened, taken)


class NecoOnDino(DinoLayout):
    method, licence, rank = "NeCo", "MIT (NeCo)", 84
    heads_by_width = DinoV2.heads_by_width

    def recognises(self, opened: Opened, taken: Taken) -> bool:
        return _named(opened) and super().recognises(opened, taken)

    def facts(self, opened: Opened, taken: Taken) -> Facts:
        taken.notes.append(NOTE)
        return Family.facts(self, opened, taken)


FAMILIES = (NecoOnDinoV2(), NecoOnDino())
