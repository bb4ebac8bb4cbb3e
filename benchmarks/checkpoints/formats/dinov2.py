"""DINOv2 (facebookresearch/dinov2): LayerScale, registers, SwiGLU (g), blocks in chunks when trained with FSDP.

Public files are bare; ``eval/*/teacher_checkpoint.pth`` of a training run has ``teacher`` with the heads. NeCo's files
on DINOv2 are bare, too: the layout tells the program, not the method. With registers the position rule is another: no
offset, antialiasing.
"""

from __future__ import annotations

import re

from benchmarks.checkpoints.card import ANTIALIAS_RESIZE
from benchmarks.checkpoints.container import Opened
from benchmarks.checkpoints.formats.family import WHOLE_FILE, Facts, Family, Place, Taken, table

CHUNKED = re.compile(r"blocks\.\d+\.(\d+\..+)")
PLACES = (
    Place("teacher", ("teacher",), "backbone."),
    Place("student", ("student",), "backbone."),
    Place("teacher", ("teacher",)),
    Place("model", ("model",), "backbone."),
    Place("model", ("model",)),
    Place("state_dict", ("state_dict",)),
    Place(WHOLE_FILE, (), "backbone."),
    Place(WHOLE_FILE),
)
DROPS = {
    r"mask_token$": "mask token",
    r"(?:dino|ibot)_head\.": "projection head",
    r"head\.": "classifier",
}


class DinoV2(Family):
    method, licence, rank = "DINOv2", "Apache-2.0 (DINOv2)", 24
    places, drops = PLACES, DROPS
    heads_by_name = table({"small": 6, "base": 12, "large": 16, "giant2": 24})
    heads_by_width = table({384: 6, 768: 12, 1024: 16, 1536: 24})

    def recognises(self, opened: Opened, taken: Taken) -> bool:
        names = taken.tensors
        mask = names.get("mask_token")
        chunked = any(CHUNKED.fullmatch(name) for name in names)
        scaled = any(name.endswith("ls1.gamma") for name in names)
        marked = (mask is not None and mask.ndim == 2) or "register_tokens" in names
        heads = any(name.startswith(("dino_head.", "ibot_head.")) for name in names)
        return "pos_embed" in names and (chunked or heads or (scaled and marked))

    def prepare(self, opened: Opened, taken: Taken) -> None:
        drop_chunks(taken)

    def facts(self, opened: Opened, taken: Taken) -> Facts:
        facts = super().facts(opened, taken)
        if not any(name.startswith(("dino_head.", "ibot_head.")) for name in taken.source_names):
            facts.provenance["method"] = "layout"  # also NeCo's, and of others that start from its weights
            taken.notes.append("a bare file in DINOv2's layout: DINOv2's own, or of a method that starts from it")
        if "register_tokens" in taken.tensors:
            facts.resize = ANTIALIAS_RESIZE
        return facts


def drop_chunks(taken: Taken) -> None:
    """``blocks.CHUNK.N.*`` -> ``blocks.N.*``: N counts through all chunks already."""
    for name in list(taken.tensors):
        if match := CHUNKED.fullmatch(name):
            short = f"blocks.{match[1]}"
            if short in taken.tensors:
                taken.clashes.append((taken.source_names[short], taken.source_names[name]))
            else:
                taken.rename(name, short)


FAMILIES = (DinoV2(),)
