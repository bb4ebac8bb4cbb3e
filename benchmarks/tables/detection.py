"""Detection and segmentation by fine-tuning as others published it, beyond the paper's tables."""

from __future__ import annotations

from benchmarks.core.result import Result
from benchmarks.tables.paper import Column, Row, Table
from benchmarks.tables.published import elsewhere, published

AP = (Column("box AP", ("bbox/AP",)), Column("mask AP", ("segm/AP",)))
IN_1K, LVD_142M, PE_DATA = "IN-1k", "LVD-142M", "PE 5.4B"
SELFPATCH = "README of alinlab/SelfPatch @ 81aef14"


def _vitdet(name: str, title: str, source: str, *rows: Row) -> Table:
    return elsewhere(name, f"ViTDet on COCO val2017, {title}, in percent", "coco-vitdet", source, AP, rows)


def _pes_recipe(result: Result) -> bool:
    """Whether a run is of a size whose recipe here is PE's; DINOv2-L's windows are its file's word, not the user's."""
    a, protocols = result.architecture, ("coco-vitdet, mmdet", "coco-vitdet, detectron2")
    size = (a.get("embed_dim"), a.get("depth"))
    window = result.run.get("backbone", {}).get("window", 32)
    right = size != (1024, 24) or result.whose.method.lower() != "dinov2" or window == 32
    return result.protocol in protocols and size in ((1024, 24), (1536, 40), (1664, 48)) and right


def _row(method: str, backbone: str, box: float, mask: float, data: str, printed: str = "") -> Row:
    return Row(method, backbone, (box, mask), printed=printed, data=data)


TABLES = (
    published(
        "mask-rcnn-selfpatch",
        "Mask R-CNN FPN on COCO val2017, 1x, as SelfPatch released it, in percent",
        "coco-mask-rcnn",
        f"{SELFPATCH}, detection",
        AP,
        (
            Row("DINO", "ViT-S/16", (40.8, 37.3), epochs=300, data=IN_1K),
            Row("SelfPatch", "ViT-S/16", (42.1, 38.5), printed="DINO + SelfPatch", epochs=200, data=IN_1K),
        ),
        "coco-mask-rcnn",
        lambda result: result.protocol == "coco-mask-rcnn-8heads, mmdet",
        ("the released config has 8 heads over weights that were trained with 6: runs with --as-released",),
        1.7,
    ),
    published(
        "vitdet-pe",
        "ViTDet on COCO val2017, PE's recipe for each network (Table 24), in percent",
        "coco-vitdet",
        "Perception Encoder, arXiv 2504.13181, Table 14",
        AP,
        (
            _row("CLIP", "ViT-L/14", 54.0, 47.5, "WIT-400M"),
            _row("MetaCLIP", "ViT-1664x48/14", 53.2, 46.7, "MetaCLIP-2.5B", "MetaCLIP G"),
            _row("MAE", "ViT-L/16", 55.6, 49.3, IN_1K),
            _row("SigLIP2", "ViT-g/16", 57.1, 50.2, "WebLI", "SigLIP 2 g"),
            _row("DINOv2", "ViT-L/14", 55.7, 49.0, LVD_142M),
            _row("DINOv2", "ViT-g/14", 57.2, 50.0, LVD_142M),
        ),
        "coco-vitdet",
        _pes_recipe,
        mini_minutes=2.3,
    ),
    _vitdet(
        "vitdet-pe-others",
        "PE's recipes for networks that have none or another here",
        "Perception Encoder, arXiv 2504.13181, Table 14",
        _row("SigLIP", "ViT-1152x27/14", 54.4, 47.6, "WebLI", "SigLIP so"),
        _row("EVA-02", "ViT-L/14", 54.9, 48.2, "Merged-38M"),
        _row("SigLIP2", "ViT-1152x27/14", 56.0, 49.4, "WebLI", "SigLIP 2 so"),
        _row("PEcore", "ViT-1536x50/14", 57.0, 49.8, PE_DATA, "PEcore G"),
        _row("PEspatial", "ViT-1536x50/14", 57.8, 50.3, PE_DATA, "PEspatial G"),
    ),
    _vitdet(
        "vitdet-mae-lite",
        "640 pixels, 100 epochs",
        "MAE-Lite, DETECTION.md",
        _row("DeiT", "ViT-Ti/16", 40.4, 35.5, IN_1K),
        _row("MAE", "ViT-Ti/16", 39.9, 35.4, IN_1K),
        _row("D-MAE", "ViT-Ti/16", 42.3, 37.4, IN_1K),
        _row("MoCo-v3", "ViT-Ti/16", 39.7, 35.1, IN_1K),
    ),
    elsewhere(
        "ade20k-upernet",
        "UperNet on ADE20K validation, 160,000 steps, mIoU in percent",
        "ade20k",
        f"{SELFPATCH}, segmentation",
        (Column("mIoU", ("mIoU",)),),
        (
            Row("DINO", "ViT-S/16", (42.3,), epochs=300, data=IN_1K),
            Row("SelfPatch", "ViT-S/16", (43.2,), printed="DINO + SelfPatch", epochs=200, data=IN_1K),
        ),
    ),
)
