"""iBOT (bytedance/ibot): backbones under ``state_dict`` (ViT-L IN-22k: a bare dict) and training files.

IN-22k backbones are the student's and hold ``masked_embed``; the others are the teacher's.
"""

from __future__ import annotations

from benchmarks.checkpoints.container import Opened
from benchmarks.checkpoints.formats.family import Facts, Family, Taken, is_square, rows_of, table

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


class IbotBackbone(Family):
    """``{'state_dict': bare names}`` and nothing else."""

    method, licence, rank = "iBOT layout", "unknown (the file does not name its method)", 90
    drops = DROPS

    def recognises(self, opened: Opened, taken: Taken) -> bool:
        alone = isinstance(opened.content, dict) and set(opened.content) == {"state_dict"}
        return (
            alone and not taken.place.prefix and "cls_token" in taken.tensors and is_square((rows_of(taken) or 0) - 1)
        )

    def facts(self, opened: Opened, taken: Taken) -> Facts:
        taken.notes.append("the file does not name its method; it has the layout of iBOT's published backbones")
        return super().facts(opened, taken)


FAMILIES = (Ibot(), IbotBackbone())
