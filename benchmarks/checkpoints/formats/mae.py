"""MAE (facebookresearch/mae): encoder-only pretraining files, and full ones with the decoder.

Told by the decoder, by the trainer's arguments, or by its fixed sine-cosine table with a zero class row.
"""

from __future__ import annotations

from benchmarks.checkpoints.card import SIZE_RESIZE
from benchmarks.checkpoints.container import Opened
from benchmarks.checkpoints.formats.family import WHOLE_FILE, Facts, Family, Place, Taken, is_square, rows_of, table
from benchmarks.checkpoints.inert import facts_of
from benchmarks.checkpoints.positions import position_kind


class Mae(Family):
    method, licence, rank = "MAE", "CC-BY-NC-4.0 (MAE)", 22
    places = (Place("model", ("model",)), Place(WHOLE_FILE))
    drops = table(
        {
            r"decoder_": "decoder",
            r"mask_token$": "mask token",
            r"head\.": "classifier",
            r"fc_norm\.": "norm of the pooled vector, not of the tokens",
        }
    )
    resize = SIZE_RESIZE
    heads_by_name = table({"base": 12, "large": 16, "huge": 16})
    heads_by_width = table({768: 12, 1024: 16, 1280: 16})

    def recognises(self, opened: Opened, taken: Taken) -> bool:
        if self._is_marked(opened, taken):
            return True
        table = taken.tensors.get("pos_embed")
        if table is None or "cls_token" not in taken.tensors or not is_square((rows_of(taken) or 0) - 1):
            return False
        return table.is_floating_point() and position_kind(table[:, 1:], table[:, :1]) == "sincos-mae"

    def facts(self, opened: Opened, taken: Taken) -> Facts:
        facts = super().facts(opened, taken)
        if not self._is_marked(opened, taken):
            facts.provenance["method"] = "layout"  # MAE's published encoders, and everything built on its program
            taken.notes.append("nothing but the fixed position table says MAE: its own, or of a method built on it")
        return facts

    @staticmethod
    def _is_marked(opened: Opened, taken: Taken) -> bool:
        model = facts_of(opened.content.get("args")).get("model")
        decoder = any(name.startswith("decoder_") for name in taken.source_names)
        return decoder or (isinstance(model, str) and model.startswith("mae_"))


FAMILIES = (Mae(),)
