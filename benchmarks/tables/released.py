"""What those who published fine-tuned files say that they score, for :mod:`benchmarks.commands.score_detector`."""

from __future__ import annotations

from benchmarks.core.result import Result
from benchmarks.tables.detection import AP, SELFPATCH
from benchmarks.tables.paper import Column, Row, Table
from benchmarks.tables.published import published

IN_1K = "IN-1k"
HEADS = "the released config has 8 heads over weights that were trained with 6, and no tensor tells: score it as both"


def _table(
    detector: str, title: str, benchmark: str, source: str, columns: tuple[Column, ...], rows: tuple[Row, ...],
    *flags: str,
) -> Table:  # fmt: skip
    def compares(result: Result) -> bool:
        return result.protocol.startswith(f"{detector}, released, ")

    return published(f"released-{detector}", title, benchmark, source, columns, rows, "", compares, flags)


TABLES = (
    _table(
        "mask-rcnn-fpn",
        "Published Mask R-CNN FPN files on COCO val2017, scored again, in percent",
        "coco-detector",
        f"{SELFPATCH}, detection",
        AP,
        (
            Row("DINO", "ViT-S/16", (40.8, 37.3), data=IN_1K),
            Row("SelfPatch", "ViT-S/16", (42.1, 38.5), printed="DINO + SelfPatch", data=IN_1K),
        ),
        HEADS,
    ),
    _table(
        "vitdet",
        "Published ViTDet files on COCO val2017, scored again, in percent",
        "coco-detector",
        "README of facebookresearch/detectron2 @ 02b5c4e2, projects/ViTDet",
        AP,
        (
            Row("MAE", "ViT-B/16", (51.6, 45.9), data=IN_1K),
            Row("MAE", "ViT-L/16", (55.5, 49.2), data=IN_1K),
            Row("MAE", "ViT-H/16", (56.7, 50.2), data=IN_1K),
        ),
        "pictures are resized by OpenCV here and by Pillow there",
    ),
    _table(
        "semantic-fpn",
        "Published Semantic FPN files on ADE20K validation, scored again, in percent",
        "ade20k-segmenter",
        f"{SELFPATCH}, segmentation",
        (Column("mIoU", ("mIoU",)),),
        (
            Row("DINO", "ViT-S/16", (38.3,), data=IN_1K),
            Row("SelfPatch", "ViT-S/16", (41.2,), printed="DINO + SelfPatch", data=IN_1K),
        ),
    ),
)
