"""Table 4 of the paper: DAVIS 2017 video segmentation with frozen features."""

from __future__ import annotations

from benchmarks.tables.paper import Column, Row, Table

TABLE = Table(
    number=4,
    title="DAVIS 2017 video segmentation by label propagation, in percent",
    benchmark="davis",
    source="FLSL, NeurIPS 2023, Table 4",
    columns=(
        Column("J&F", ("J&F-Mean",), 100.0),
        Column("J", ("J-Mean",), 100.0),
        Column("F", ("F-Mean",), 100.0),
    ),
    rows=(
        Row("supervised", "ViT-S/8", (66.0, 63.9, 68.1)),
        Row("VLOG CT", "RN50", (48.7, 46.4, 50.0), "J&F is not the mean of J and F, 48.2; not of this protocol"),
        Row("YT-VOS MAST", "RN18", (65.5, 63.3, 67.6), "not of this protocol"),
        Row("DINO", "ViT-S/16", (61.8, 60.2, 63.4)),
        Row("DINO", "ViT-B/16", (62.3, 60.7, 63.9)),
        Row("DINO", "ViT-S/8", (69.9, 66.6, 73.1)),
        Row("FLSL", "ViT-S/16", (65.6, 62.4, 69.4), "J&F is not the mean of J and F, 65.9"),
        Row("FLSL", "ViT-B/16", (66.1, 62.9, 70.0), "J&F is not the mean of J and F, 66.45"),
        Row("FLSL", "ViT-S/8", (73.5, 69.9, 78.1), "J&F is not the mean of J and F, 74.0"),
    ),
    noise=0.5,
    noise_reason="there is no chance in it; DINO's authors saw lower scores with newer torch and found no cause",
)
