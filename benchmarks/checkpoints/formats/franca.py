"""Franca (valeoai/Franca): DINOv2's code with SwiGLU at every size and four chunks of blocks.

The code is Apache-2.0, the weights are under a non-commercial RAIL licence.
"""

from __future__ import annotations

from benchmarks.checkpoints.container import Opened
from benchmarks.checkpoints.formats.dinov2 import CHUNKED, DinoV2
from benchmarks.checkpoints.formats.family import Facts, Taken


class Franca(DinoV2):
    method, rank = "Franca", 23
    licence = "non-commercial RAIL (Franca's weights)"

    def recognises(self, opened: Opened, taken: Taken) -> bool:
        names = taken.tensors
        # DINOv2 has SwiGLU at width 1536 alone; that one file of Franca's is told by nothing and is taken for DINOv2's.
        gated = any(name.endswith("mlp.w12.weight") for name in names)
        chunked = any(CHUNKED.fullmatch(name) for name in names)
        table = names.get("pos_embed")
        return gated and chunked and table is not None and table.ndim == 3 and table.shape[-1] != 1536

    def facts(self, opened: Opened, taken: Taken) -> Facts:
        facts = super().facts(opened, taken)
        facts.provenance["method"] = "layout"  # DINOv2's own program can be told to train such a network
        return facts


FAMILIES = (Franca(),)
