"""iBOT (bytedance/ibot): training files, and the student's backbones (IN-22k), which hold ``masked_embed``.

The teacher's backbones, under ``state_dict`` alone, have nothing of iBOT's own in them (``bare.py``).
"""

from __future__ import annotations

from benchmarks.checkpoints.container import Opened
from benchmarks.checkpoints.formats.family import Family, Taken, table

DROPS = {
    r"head\.": "projection head",
    r"masked_embed$": "mask token",
    r"fc_norm\.": "norm of the pooled vector, not of the tokens",
}


class Ibot(Family):
    method, licence, rank = "iBOT", "Apache-2.0 (iBOT)", 26
    needs = ("ibot_loss",)
    drops = DROPS
    heads_by_width = table({192: 3, 384: 6, 768: 12, 1024: 16})

    def recognises(self, opened: Opened, taken: Taken) -> bool:
        return super().recognises(opened, taken) or "masked_embed" in taken.tensors


FAMILIES = (Ibot(),)
