"""Table 4 of the paper: DAVIS 2017 video segmentation with frozen features."""

from __future__ import annotations

from benchmarks.tables.paper import Column, Cost, Row, Table


def _row(method: str, backbone: str, values: tuple[float, float, float], data: str, flag: str = "") -> Row:
    printed = f"{data} supv." if method == "supervised" else f"{data} {method}"
    return Row(method, backbone, values, flag, printed, data=data)


TABLE = Table(
    number=4,
    title="DAVIS 2017 video segmentation by label propagation, in percent",
    benchmark="davis",
    source="FLSL, NeurIPS 2023, Table 4, page 8",
    columns=(
        Column("J&F", ("J&F-Mean",), 100.0),
        Column("J", ("J-Mean",), 100.0),
        Column("F", ("F-Mean",), 100.0),
    ),
    rows=(
        _row("supervised", "ViT-S/8", (66.0, 63.9, 68.1), "IN-1k"),
        _row("CT", "RN50", (48.7, 46.4, 50.0), "VLOG", "J&F is not the mean of J and F, 48.2; not of this protocol"),
        _row("MAST", "RN18", (65.5, 63.3, 67.6), "YT-VOS", "not of this protocol"),
        _row("DINO", "ViT-S/16", (61.8, 60.2, 63.4), "IN-1k"),
        _row("DINO", "ViT-B/16", (62.3, 60.7, 63.9), "IN-1k"),
        _row("DINO", "ViT-S/8", (69.9, 66.6, 73.1), "IN-1k"),
        _row("FLSL", "ViT-S/16", (65.6, 62.4, 69.4), "IN-1k", "J&F is not the mean of J and F, 65.9"),
        _row("FLSL", "ViT-B/16", (66.1, 62.9, 70.0), "IN-1k", "J&F is not the mean of J and F, 66.45"),
        _row("FLSL", "ViT-S/8", (73.5, 69.9, 78.1), "IN-1k", "J&F is not the mean of J and F, 74.0"),
    ),
    noise=0.5,
    noise_reason="there is no chance in it; DINO's authors saw lower scores with newer torch and found no cause",
    flags=(
        "section 5.3 says a window of 12x12 between consecutive frames; the program it cites looks 12 tokens to each "
        "side (25x25), in the first frame and the last 7",
    ),
    costs={"": Cost(None, "none published; 1,999 frames through a frozen network, a matter of minutes")},
    tasks=("davis",),
    compares=lambda result: result.protocol == "davis2017-480p",  # all frames of every video
    mini_minutes=0.1,
)
