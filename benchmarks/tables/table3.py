"""Table 3 of the paper: Faster R-CNN FPN on UAVDT."""

from __future__ import annotations

from benchmarks.tables.paper import Column, Cost, Row, Table


def _row(method: str, backbone: str, value: float) -> Row:
    return Row(method, backbone, (value,), printed=f"IN-1k {method}", data="IN-1k")


TABLE = Table(
    number=3,
    title="Faster R-CNN FPN on UAVDT, average precision at IoU 0.7 by the toolkit's rule",
    benchmark="uavdt",
    source="FLSL, NeurIPS 2023, Table 3, page 7",
    columns=(Column("AP", ("AP",)),),
    rows=(
        _row("DINO", "ViT-S/16", 48.9),
        _row("DINO", "ViT-B/16", 49.1),
        _row("DINO", "ViT-S/8", 51.1),
        _row("FLSL", "ViT-S/16", 53.1),
        _row("FLSL", "ViT-B/16", 53.5),
        _row("FLSL", "ViT-S/8", 55.2),
    ),
    noise=0.5,
    noise_reason="assumed: nobody has published repeated runs; on COCO it is 0.3",
    costs={"": Cost(None, "none published; 36,000 steps of 8 frames, where COCO's 1x has 90,000 of 16 images")},
    mini_minutes=2.2,
)
