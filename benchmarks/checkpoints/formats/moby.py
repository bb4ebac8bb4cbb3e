"""MoBY (SwinTransformer/Transformer-SSL), DeiT-S. Its README has the links of DeiT-S and Swin-T crossed.

The file holds a yacs configuration, which is read inertly. timm 0.3.2, which it used, never resizes positions.
"""

from __future__ import annotations

from benchmarks.checkpoints.card import SIZE_RESIZE
from benchmarks.checkpoints.container import Opened
from benchmarks.checkpoints.formats.family import Family, Place, Taken, table
from benchmarks.checkpoints.inert import facts_of


class MoBY(Family):
    method, licence, rank = "MoBY", "MIT (MoBY)", 20
    places = (Place("encoder", ("model",), "encoder."), Place("encoder_k", ("model",), "encoder_k."))
    drops = table(
        {
            r"encoder_k\.": "other branch: key encoder",
            r"encoder\.": "other branch: encoder",
            r"projector(?:_k)?\.": "projection head",
            r"predictor\.": "predictor",
            r"queue": "queue",
            r"head\.": "classifier",
        }
    )
    resize = SIZE_RESIZE
    heads_by_width = table({384: 6})

    def recognises(self, opened: Opened, taken: Taken) -> bool:
        queue = any(name.startswith(("encoder_k.", "queue")) for name in taken.source_names)
        return queue or self._encoder(opened) is not None

    def saved_architecture(self, opened: Opened) -> str | None:
        return self._encoder(opened) or super().saved_architecture(opened)

    @staticmethod
    def _encoder(opened: Opened) -> str | None:
        model = facts_of(facts_of(opened.content.get("config")).get("MODEL"))
        encoder = facts_of(model.get("MOBY")).get("ENCODER")
        return encoder if isinstance(encoder, str) else None


FAMILIES = (MoBY(),)
