"""MSN (facebookresearch/msn): patch sizes 16, 7 and 4. Its evaluations take the target encoder.

Its resize takes one scale for both sides, and pads a grid that came out short with zeros; here both sides are asked
for by size, which is the same wherever the original gives the right grid.
"""

from __future__ import annotations

from benchmarks.checkpoints.card import SIZE_RESIZE
from benchmarks.checkpoints.container import Opened
from benchmarks.checkpoints.formats.family import Family, Place, Taken, table


class Msn(Family):
    method, licence, rank = "MSN", "CC-BY-NC-4.0 (MSN)", 20
    places = (Place("target_encoder", ("target_encoder",)), Place("encoder", ("encoder",)))
    drops = table({r"fc\.": "projection head", r"pred\.": "predictor", r"scaling_": "scale of the loss"})
    resize = SIZE_RESIZE
    heads_by_width = table({192: 3, 384: 6, 768: 12, 1024: 16, 1280: 16})

    def recognises(self, opened: Opened, taken: Taken) -> bool:
        return "prototypes" in opened.content  # I-JEPA's file has the same two encoders


FAMILIES = (Msn(),)
