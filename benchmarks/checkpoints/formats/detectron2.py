"""detectron2: ViTDet checkpoints, and ResNets as its converters pickle them (MoCo, DetCo, DenseCL, VISSL).

A ViTDet that was trained with relative positions or windows is another network than a plain ViT and is refused. Its
position table keeps the class row of the pretraining, which nothing uses. A pickled ResNet must be run with the
stride in the 3x3 convolution, RGB input and these means: detectron2's defaults load it cleanly and train it badly.
"""

from __future__ import annotations

from benchmarks.checkpoints.card import SIZE_RESIZE
from benchmarks.checkpoints.container import Opened
from benchmarks.checkpoints.formats.family import (
    WHOLE_FILE,
    Facts,
    Family,
    Place,
    ResNetFamily,
    Taken,
    is_square,
    rows_of,
    table,
)
from benchmarks.checkpoints.formats.layouts import PLAIN, RESNET_DETECTRON2
from benchmarks.errors import InputError

RELATIVE = (".attn.rel_pos_h", ".attn.rel_pos_w")
DETECTOR = {
    r"backbone\.": "pyramid and other parts of the detector",
    r"(?:proposal_generator|roi_heads|rpn|mask_head|box_head|sem_seg_head)\.": "head of the detector",
    r"pixel_(?:mean|std)$": "mean and std of the detector",
}


class ViTDet(Family):
    method, licence, rank = "unknown (layout ViTDet)", "unknown (that of the weights it was trained from)", 20
    known = "unknown"
    layout = PLAIN
    places = tuple(
        Place(branch, path, prefix)
        for branch, path in (("model", ("model",)), (WHOLE_FILE, ()))
        for prefix in ("backbone.net.", "net.", "")
    )
    drops = table({r"simfp_\d": "pyramid", **DETECTOR})
    resize = SIZE_RESIZE

    def recognises(self, opened: Opened, taken: Taken) -> bool:
        names = taken.tensors
        more = ("cls_token", "reg_token", "fc_norm.weight")
        bare = (
            not any(name in names for name in more)
            and "norm.weight" not in names
            and is_square((rows_of(taken) or 0) - 1)
        )
        return taken.place.prefix != "" or bare

    def facts(self, opened: Opened, taken: Taken) -> Facts:
        facts = super().facts(opened, taken)
        facts.odd_class_row = "cls_token" not in taken.tensors
        return facts

    def prepare(self, opened: Opened, taken: Taken) -> None:
        lengths = set()
        for name in [name for name in taken.tensors if name.endswith(RELATIVE)]:
            relative = taken.tensors[name]
            lengths.add(tuple(relative.shape))
            if relative.any() or len(lengths) > 1:
                raise InputError(
                    f"{taken.source_names[name]}: this ViTDet was trained with relative positions or windows, which a "
                    "plain ViT has not: convert the weights that its training started from"
                )
            taken.drop(name, "relative positions, all zero: without effect")
        taken.notes.append("windows leave no trace in a file; this network attends over the whole image in every block")


class Detectron2ResNet(ResNetFamily):
    method, licence, rank = "unknown (layout detectron2 ResNet)", "unknown (that of the method it came from)", 20
    known = "unknown"
    layout = RESNET_DETECTRON2
    places = tuple(
        Place(branch, path, prefix)
        for branch, path in (("model", ("model",)), (WHOLE_FILE, ()))
        for prefix in ("", "backbone.bottom_up.", "backbone.")
    )
    drops = table(
        {r"stem\.fc\.": "classifier or projection head", r"fc\.": "classifier or projection head", **DETECTOR}
    )

    def recognises(self, opened: Opened, taken: Taken) -> bool:
        return True

    def facts(self, opened: Opened, taken: Taken) -> Facts:
        taken.notes.append("in detectron2: STRIDE_IN_1X1 False, FORMAT RGB, PIXEL_STD 58.395 57.12 57.375, SyncBN")
        return super().facts(opened, taken)


FAMILIES = (ViTDet(), Detectron2ResNet())
