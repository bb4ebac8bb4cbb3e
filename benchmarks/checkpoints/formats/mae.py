"""MAE (facebookresearch/mae): encoder-only pretraining files, and full ones with the decoder.

Told by the decoder, by the trainer's arguments, or by its fixed sine-cosine table with a zero class row.
"""

from __future__ import annotations

from benchmarks.checkpoints.card import SIZE_RESIZE
from benchmarks.checkpoints.container import Opened
from benchmarks.checkpoints.formats.family import WHOLE_FILE, Family, Place, Taken, is_square, rows_of, table
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
        if any(name.startswith("decoder_") for name in taken.tensors):
            return True
        model = facts_of(opened.content.get("args")).get("model")
        if isinstance(model, str) and model.startswith("mae_"):
            return True
        table = taken.tensors.get("pos_embed")
        if "cls_token" not in taken.tensors or not is_square((rows_of(taken) or 0) - 1):
            return False
        return table.is_floating_point() and position_kind(table[:, 1:], table[:, :1]) == "sincos-mae"


FAMILIES = (Mae(),)
