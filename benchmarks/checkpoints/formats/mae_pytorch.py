"""MAE-pytorch (pengzhiliang/MAE-pytorch): training files of the unofficial MAE, which is not the official network.

No class token, and the table of "Attention is all you need" along the row-major sequence of patches, which the file
does not store. The encoder is told by the layer between it and its decoder.
"""

from __future__ import annotations

from benchmarks.checkpoints.card import SIZE_RESIZE
from benchmarks.checkpoints.container import Opened
from benchmarks.checkpoints.formats.family import Facts, Family, Place, Taken, saved_arguments, table
from benchmarks.checkpoints.positions import sinusoid


class MaePytorch(Family):
    method, licence, rank = "MAE-pytorch", "unknown (MAE-pytorch)", 18
    places = (Place("encoder", ("model",), "encoder."),)
    drops = table({r"head\.": "classifier"})
    resize = SIZE_RESIZE
    heads_by_width = table({768: 12, 1024: 16})

    def recognises(self, opened: Opened, taken: Taken) -> bool:
        computed = not {"cls_token", "pos_embed"} & taken.tensors.keys()
        return computed and "encoder_to_decoder.weight" in opened.content["model"]

    def facts(self, opened: Opened, taken: Taken) -> Facts:
        facts = super().facts(opened, taken)
        width, _, patch, _ = taken.tensors["patch_embed.proj.weight"].shape
        said = saved_arguments(opened).get("input_size")
        source, size = ("file", said) if isinstance(said, int) and said >= patch else ("table", 224)
        facts.learn(source, image_size=size)
        facts.made["pos_embed"] = sinusoid(width, (size // patch) ** 2)
        taken.notes.append(
            "its positions number the patches row by row and are computed: at another size they are resized as a map, "
            "which its program never does"
        )
        return facts


FAMILIES = (MaePytorch(),)
