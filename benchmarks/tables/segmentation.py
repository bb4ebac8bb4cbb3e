"""Frozen segmentation as published: one table for each protocol and data set, because no two of them compare.

A result belongs to a table by its task, its protocol and the name of its data set (``dataset.json``). Rows of protocols
that the suite does not have (PE's, CrIBo's, NeCo's retrieval) are printed and never compared.
"""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.core.result import Result
from benchmarks.tables.paper import Column, Row, Table
from benchmarks.tables.published import elsewhere, published

DINOV3 = "DINOv3, arXiv 2508.10104"
MIOU = (Column("mIoU", ("mIoU",)),)
HUMMINGBIRD = "README of vpariza/open-hummingbird-eval @ 5e79da2"
LVD_142M, LVD_1689M, IN_1K = "LVD-142M", "LVD-1689M", "IN-1k"

S14, B14, L14, G14 = "ViT-S/14", "ViT-B/14", "ViT-L/14", "ViT-g/14"
S16, B16, L16 = "ViT-S/16", "ViT-B/16", "ViT-L/16"


def _of(task: str, protocol: str, dataset: str) -> Callable[[Result], bool]:
    return lambda result: result.task == task and result.protocol == protocol and result.run.get("dataset") == dataset


def _row(method: str, backbone: str, value: float, data: str = "", printed: str = "", flag: str = "") -> Row:
    return Row(method, backbone, (value,), flag, printed, data=data)


def _table(
    name: str, title: str, source: str, task: str, compares: Callable[[Result], bool], rows: tuple[Row, ...],
    flags: tuple[str, ...] = (),
) -> Table:  # fmt: skip
    return published(name, title, "segmentation", source, MIOU, rows, task, compares, flags)


def _elsewhere(name: str, title: str, source: str, rows: tuple[Row, ...]) -> Table:
    return elsewhere(name, f"{title}, mIoU in percent", "segmentation", source, MIOU, rows)


def _dinov3(dataset: str, title: str, column: dict[str, float], sizes: tuple[Row, ...] = ()) -> Table:
    """DINOv3's Table 3 of large networks for one data set, and its Table 14 of sizes where it has it."""
    large = (
        _row("DINOv2", G14, column["DINOv2"], LVD_142M, "DINOv2 g"),
        _row("DINOv3", "ViT-4096x40/16", column["DINOv3"], LVD_1689M, "DINOv3 7B"),
        _row("Franca", G14, column["Franca"], "IN-21k or LAION-600M", "Franca g"),
        _row("Web-DINO", "ViT-4096x32/14", column["Web-DINO"], "MC-2B", "Web-DINO 7B"),
        _row("AM-RADIOv2.5", G14, column["AM-RADIO"], "DataComp-1B", "AM-RADIOv2.5 g"),
        _row("PEspatial", "ViT-1536x50/14", column["PEspatial"], "PE 5.4B", "PEspatial G"),
        _row("SigLIP2", "ViT-g/16", column["SigLIP2"], "WebLI", "SigLIP 2 g"),
        _row("PEcore", "ViT-1536x50/14", column["PEcore"], "PE 5.4B", "PEcore G"),
    )
    return _table(
        f"segmentation-linear-{dataset}",
        f"Linear segmentation of frozen features on {title}, DINOv3's protocol, mIoU in percent",
        f"{DINOV3}, Table 3{' and 14' if sizes else ''}",
        "segmentation-linear",
        _of("segmentation-linear", "dinov3", dataset),
        large + sizes,
        flags=(
            "the paper sweeps the learning rate {1e-4, 3e-4, 1e-3} and the decay {1e-4, 1e-3} for each network and "
            "uses 1,024 tokens (512 or 448 pixels); the published config is 1e-3, 1e-3",
            "networks of others are DINOv3's own runs, not their authors'",
        ),
    )


TABLES = (
    _dinov3(
        "ade20k",
        "ADE20K",
        {
            "DINOv2": 49.5, "DINOv3": 55.9, "Franca": 46.3, "Web-DINO": 42.7, "AM-RADIO": 53.0, "PEspatial": 49.3,
            "SigLIP2": 42.7, "PEcore": 38.9,
        },
        (
            _row("DINOv2", S14, 45.5, LVD_142M),
            _row("DINOv2", B14, 48.4, LVD_142M),
            _row("DINOv2", L14, 48.8, LVD_142M),
            _row("DINOv3", S16, 47.0, LVD_1689M),
            _row("DINOv3", "ViT-S+/16", 48.8, LVD_1689M),
            _row("DINOv3", B16, 51.8, LVD_1689M),
            _row("DINOv3", L16, 54.9, LVD_1689M),
            _row("DINOv3", "ViT-H+/16", 54.8, LVD_1689M, "DINOv3 H+"),
        ),
    ),
    _dinov3(
        "cityscapes",
        "Cityscapes",
        {
            "DINOv2": 75.6, "DINOv3": 81.1, "Franca": 68.7, "Web-DINO": 68.3, "AM-RADIO": 78.4, "PEspatial": 73.2,
            "SigLIP2": 64.8, "PEcore": 61.1,
        },
    ),
    _dinov3(
        "voc",
        "Pascal VOC 2012",
        {
            "DINOv2": 83.1, "DINOv3": 86.6, "Franca": 82.9, "Web-DINO": 76.1, "AM-RADIO": 85.4, "PEspatial": 82.7,
            "SigLIP2": 72.7, "PEcore": 69.2,
        },
    ),
    _table(
        "segmentation-linear-ade20k-ibot",
        "Linear segmentation of frozen features on ADE20K, iBOT's protocol, mIoU in percent",
        "iBOT's paper, as bytedance/ibot's issue 18 quotes it (18 where nothing had been loaded)",
        "segmentation-linear",
        _of("segmentation-linear", "ibot", "ade20k"),
        (_row("iBOT", B16, 38.3, IN_1K),),
    ),
    _table(
        "segmentation-linear-voc-neco",
        "Linear segmentation of frozen features on Pascal VOC 2012, NeCo's protocol (masks of 100 px), mIoU in percent",
        "README of vpariza/NeCo",
        "segmentation-linear",
        _of("segmentation-linear", "neco", "voc"),
        (_row("NeCo", S14, 78.9, printed="NeCo on DINOv2"), _row("NeCo", B14, 81.4, printed="NeCo on DINOv2")),
    ),
    _elsewhere(
        "segmentation-linear-ade20k-pe",
        "Linear segmentation of frozen features on ADE20K, PE's protocol",
        "Perception Encoder, arXiv 2504.13181, Table 13, last layer",
        (
            _row("DINOv2", L14, 47.3, LVD_142M),
            _row("DINOv2", G14, 48.4, LVD_142M),
            _row("PEspatial", "ViT-1536x50/14", 48.9, "PE 5.4B", "PEspatial G"),
            _row("SigLIP2", "ViT-1152x27/14", 42.9, "WebLI", "SigLIP 2 so"),
        ),
    ),
    _elsewhere(
        "segmentation-linear-ade20k-pe-sizes",
        "Linear segmentation of frozen features on ADE20K, PE-Spatial's sizes",
        "README of facebookresearch/perception_models",
        tuple(
            _row("PE-Spatial", backbone, value, "PE 5.4B")
            for backbone, value in (("ViT-Ti/16", 27.6), (S16, 37.5), (B16, 44.4), (L14, 48.1))
        ),
    ),
    _table(
        "segmentation-knn-ade20k",
        "k-NN over patches on ADE20K, CAPI's protocol, mIoU in percent",
        "README of facebookresearch/capi @ 98b4fa1",
        "segmentation-knn",
        _of("segmentation-knn", "capi", "ade20k"),
        (
            _row("CAPI", L14, 35.2, "Places205"),
            _row("CAPI", L14, 32.1, LVD_142M),
            _row("CAPI", L14, 29.7, "IN-22k"),
            _row("CAPI", L14, 29.2, IN_1K),
        ),
    ),
    *(
        _table(
            f"segmentation-retrieval-voc-1e{exponent}",
            f"Retrieved patches on Pascal VOC 2012, memory of 1,024 x 10^{exponent}, mIoU in percent",
            HUMMINGBIRD,
            "segmentation-retrieval",
            _of("segmentation-retrieval", protocol, "voc"),
            tuple(_row(*key, value) for key, value in zip(
                (("DINO", S16), ("DINO", B16), ("DINOv2", S14), ("DINOv2", B14), ("DINOv2", L14), ("DINOv2", G14)),
                values, strict=True)),
            flags=("ScaNN's search there is approximate, here it is exact", "512 pixels, for DINOv2 504: --side 504"),
        )
        for exponent, protocol, values in (
            (2, "hummingbird-1e2", (37.2, 44.9, 70.2, 69.1, 64.6, 62.3)),
            (3, "hummingbird-1e3", (43.1, 50.8, 74.9, 74.6, 71.7, 69.9)),
            (4, "hummingbird", (46.6, 55.7, 77.0, 76.9, 74.8, 73.6)),
        )
    ),
    _elsewhere(
        "segmentation-retrieval-ade20k-cribo",
        "Retrieved patches on ADE20K, CrIBo's program",
        "CrIBo, as published",
        (_row("CrIBo", S16, 28.3, IN_1K), _row("CrIBo", B16, 30.0, IN_1K)),
    ),
    _elsewhere(
        "segmentation-retrieval-voc-cribo",
        "Retrieved patches on Pascal VOC 2012, CrIBo's program",
        "CrIBo, as published",
        (_row("CrIBo", S16, 73.2, IN_1K), _row("CrIBo", B16, 74.9, IN_1K)),
    ),
    _elsewhere(
        "segmentation-retrieval-voc-neco",
        "Retrieved patches on Pascal VOC 2012, NeCo's program",
        "README of vpariza/NeCo",
        (_row("NeCo", S14, 81.3, printed="NeCo on DINOv2"), _row("NeCo", B14, 83.3, printed="NeCo on DINOv2")),
    ),
)  # fmt: skip
