"""I-JEPA (facebookresearch/ijepa): training files, with the target encoder, which its evaluations take.

No class token, a fixed position table like MAE's, and a predictor with mask tokens beside two encoders. Its resizing
takes away a class row that is not there, so it never ran at another size; here it is done by size. The published
encoders alone have nothing of I-JEPA's own in them.
"""

from __future__ import annotations

from benchmarks.checkpoints.card import SIZE_RESIZE
from benchmarks.checkpoints.container import Opened
from benchmarks.checkpoints.formats.family import Family, Place, Taken, table


class IJepa(Family):
    method, licence, rank = "I-JEPA", "CC-BY-NC-4.0 (I-JEPA)", 19
    places = (Place("target_encoder", ("target_encoder",)), Place("encoder", ("encoder",)))
    drops = table({r"(?:fc|head)\.": "classifier"})
    resize = SIZE_RESIZE
    #: vit_tiny to vit_giant of its program
    heads_by_width = table({192: 3, 384: 6, 768: 12, 1024: 16, 1280: 16, 1408: 16})

    def recognises(self, opened: Opened, taken: Taken) -> bool:
        predictor = opened.content.get("predictor")
        names = predictor if isinstance(predictor, dict) else {}
        mask = any(str(name).endswith("predictor_pos_embed") for name in names)
        return mask and "cls_token" not in taken.tensors


FAMILIES = (IJepa(),)
