"""DAVIS 2017 as others published it: a table for each protocol, because J&F moves more with it than with the method."""

from __future__ import annotations

from benchmarks.tables.paper import Row, Table
from benchmarks.tables.published import elsewhere, published
from benchmarks.tables.table4 import TABLE as TABLE_4

IN_1K, K400, LVD_142M, LVD_1689M, PE_DATA = "IN-1k", "K400", "LVD-142M", "LVD-1689M", "PE 5.4B"
S16, B16 = "ViT-S/16", "ViT-B/16"
PE_G, WEB_7B, DINOV3_7B = "ViT-1536x50/14", "ViT-4096x32/14", "ViT-4096x40/16"

DINOV3 = "DINOv3, arXiv 2508.10104"
DINO_5 = "DINO, arXiv 2104.14294, Table 5"
TOBO = "ToBo, arXiv 2507.06543, Table 5"
CO_SETTLE = "Co-Settle, Table 1"
PE = "Perception Encoder, arXiv 2504.13181"
OWN_RUNS = "networks of others are DINOv3's own runs, not their authors'"

Scores = tuple[float, float | None, float | None]


def _row(
    method: str, backbone: str, scores: float | Scores, data: str, printed: str = "", source: str = "", flag: str = "",
    epochs: int | None = None,
) -> Row:  # fmt: skip
    """J&F, J and F; many print J&F alone."""
    values = scores if isinstance(scores, tuple) else (scores, None, None)
    return Row(method, backbone, values, flag, printed, epochs=epochs, data=data, source=source)


def _table(name: str, title: str, source: str, protocol: str, rows: tuple[Row, ...], *flags: str) -> Table:
    """Rows of one protocol, which a record names; ``name`` is that of the task."""
    return published(
        f"{name}-others" if name == "davis" else name, f"DAVIS 2017 by label propagation, {title}, in percent", "davis",
        source, TABLE_4.columns, rows, name, lambda result: result.protocol == protocol, flags, 0.1,
    )  # fmt: skip


def _elsewhere(name: str, title: str, source: str, *rows: Row) -> Table:
    return elsewhere(name, f"DAVIS 2017, {title}, in percent", "davis", source, TABLE_4.columns, rows)


def _dinov3(size: str, pixels: int, values: dict[str, float], *rows: Row) -> Table:
    """DINOv3's Table 5 at one resolution, and what it prints beside it for other sizes of networks."""
    known = (
        ("AM-RADIOv2.5", "ViT-g/14", "DataComp-1B", "AM-RADIOv2.5 g"),
        ("PEspatial", PE_G, PE_DATA, "PEspatial G"),
        ("SigLIP2", "ViT-g/16", "WebLI", "SigLIP 2 g"),
        ("PEcore", PE_G, PE_DATA, "PEcore G"),
        ("Franca", "ViT-g/14", "IN-21k or LAION-600M", "Franca g"),
        ("DINOv2", "ViT-g/14", LVD_142M, "DINOv2 g"),
        ("Web-DINO", WEB_7B, "MC-2B", "Web-DINO 7B"),
        ("DINOv3", DINOV3_7B, LVD_1689M, "DINOv3 7B"),
    )
    large = tuple(_row(method, backbone, values[method], data, printed) for method, backbone, data, printed in known)
    source = f"{DINOV3}, Table 5{'; sizes: Table 14 and model card' if rows else ''}"
    title = f"DINOv3's protocol {size.upper()} ({pixels} pixels)"
    return _table(f"davis-dinov3-{size}", title, source, f"dinov3-{size}", large + rows, OWN_RUNS)


TABLES = (
    _table(
        "davis",
        "DINO's protocol: rows that the paper's Table 4 has not",
        DINO_5,
        "davis2017-480p",
        (
            _row("DINO", "ViT-B/8", (71.4, 67.9, 74.9), IN_1K),
            _row("MAE", B16, 37.9, IN_1K, source="issue 4 of LatentMIM's repository, by DINO's script",
                 flag="LatentMIM's paper prints 57.5 and no protocol"),
        ),
    ),
    _dinov3("s", 480, {
        "AM-RADIOv2.5": 66.5, "PEspatial": 68.4, "SigLIP2": 56.1, "PEcore": 48.2, "Franca": 61.8, "DINOv2": 63.9,
        "Web-DINO": 57.2, "DINOv3": 71.1,
    }),
    _dinov3(
        "m", 960, {
            "AM-RADIOv2.5": 77.3, "PEspatial": 74.5, "SigLIP2": 62.3, "PEcore": 53.1, "Franca": 66.9, "DINOv2": 73.6,
            "Web-DINO": 65.8, "DINOv3": 79.7,
        },
        _row("DINOv2", "ViT-S/14", 73.6, LVD_142M),
        _row("DINOv2", "ViT-B/14", 72.9, LVD_142M),
        _row("DINOv2", "ViT-L/14", 73.4, LVD_142M),
        _row("DINOv3", S16, 72.7, LVD_1689M),
        _row("DINOv3", "ViT-S+/16", 75.5, LVD_1689M),
        _row("DINOv3", B16, 77.2, LVD_1689M),
        _row("DINOv3", "ViT-L/16", 79.9, LVD_1689M),
        _row("DINOv3", "ViT-H+/16", 79.3, LVD_1689M),
        _row("SigLIP2", B16, 63.2, "WebLI"),
        _row("SigLIP2", "ViT-L/16", 66.3, "WebLI"),
        _row("PEcore", B16, 44.5, PE_DATA),
        _row("PEcore", "ViT-L/14", 48.2, PE_DATA),
    ),
    _dinov3("l", 1440, {
        "AM-RADIOv2.5": 81.4, "PEspatial": 70.5, "SigLIP2": 62.9, "PEcore": 49.8, "Franca": 66.5, "DINOv2": 76.6,
        "Web-DINO": 69.5, "DINOv3": 83.3,
    }),
    _table(
        "davis-siammae",
        "SiamMAE's protocol",
        f"{TOBO} (ViT-S/16) and {CO_SETTLE} (ViT-B/16)",
        "siammae",
        (
            *(
                _row(method, S16, scores, K400, source=TOBO, epochs=400)
                for method, scores in (
                    ("SimCLR", (53.9, 51.7, 56.2)), ("MoCo-v3", (57.7, 54.6, 60.8)), ("DINO", (59.5, 56.5, 62.5)),
                    ("MAE", (53.5, 50.4, 56.7)), ("SiamMAE", (58.1, 56.6, 59.6)), ("RSP", (60.1, 57.4, 62.8)),
                    ("CropMAE", (58.6, 55.8, 61.4)), ("ToBo", (60.6, 58.4, 63.0)),
                )
            ),
            _row("CropMAE", S16, 60.1, IN_1K, source="README of alexandre-eymael/CropMAE @ 5d0dab2",
                 flag="60.4 in the README before; others measured 57.4 and 59.1 (issues 14 and 15)"),
            *(
                _row(method, B16, scores, data, source=CO_SETTLE, epochs=epochs)
                for method, scores, data, epochs in (
                    ("MAE", (52.4, 51.0, 53.9), IN_1K, None), ("I-JEPA", (53.9, 52.9, 54.8), IN_1K, None),
                    ("CLIP", (54.9, 53.4, 56.4), "WIT-400M", None), ("MoCo-v3", (62.6, 60.0, 65.1), IN_1K, None),
                    ("iBOT", (64.6, 63.0, 66.1), IN_1K, None), ("DINO", (63.2, 60.9, 65.5), IN_1K, None),
                    ("DINOv2", (63.1, 61.6, 64.5), IN_1K, 100), ("SiamMAE", (60.9, 59.4, 62.4), K400, None),
                    ("CropMAE", 57.8, K400, None), ("RSP", 60.5, K400, None),
                )
            ),
        ),
        "frames come from a copy of DAVIS at 480x880 that CropMAE's authors do not describe",
    ),
    _elsewhere(
        "davis-pe",
        "Perception Encoder's protocol, last layer",
        f"{PE}, Table 13",
        _row("DINOv2", "ViT-L/14", 58.2, LVD_142M),
        _row("DINOv2", "ViT-g/14", 58.5, LVD_142M),
        _row("PEspatial", PE_G, 61.5, PE_DATA, "PEspatial G"),
        _row("SigLIP2", "ViT-1152x27/14", 45.3, "WebLI", "SigLIP 2 so"),
    ),
    _elsewhere(
        "davis-pe-sizes",
        "PE-Spatial's sizes by their authors",
        "README of facebookresearch/perception_models",
        *(
            _row("PE-Spatial", f"ViT-{size}/{patch}", value, PE_DATA)
            for size, patch, value in (("Ti", 16, 55.0), ("S", 16, 57.5), ("B", 16, 58.9), ("L", 14, 60.6))
        ),
    ),
    _elsewhere("davis-stc", "STC's own protocol", DINO_5, _row("STC", "RN18", (67.6, 64.8, 70.2), K400)),
    _elsewhere(
        "davis-stm", "STM, trained with masks", DINO_5,
        _row("STM", "RN50", (81.8, 79.2, 84.3), "DAVIS and YouTube-VOS masks"),
    ),
)  # fmt: skip
