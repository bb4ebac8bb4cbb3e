"""SelfPatch (alinlab/SelfPatch): no class token and no final norm in the backbone; they live in its heads.

Its detection config builds 8 heads for weights that were trained with 6.
"""

from __future__ import annotations

from benchmarks.checkpoints.container import Opened
from benchmarks.checkpoints.formats.family import Family, Taken, table


class SelfPatch(Family):
    method, licence, rank = "SelfPatch", "Apache-2.0 (SelfPatch)", 35
    drops = table({r"(?:ca|c|p)_head\.": "aggregation or projection head", r"head\.": "projection head"})
    heads_by_width = table({192: 3, 384: 6, 768: 12})

    def recognises(self, opened: Opened, taken: Taken) -> bool:
        return any(name.startswith(("ca_head.", "c_head.", "p_head.")) for name in taken.tensors)


FAMILIES = (SelfPatch(),)
