"""Table 3 of the paper: Faster R-CNN FPN on UAVDT."""

from __future__ import annotations

from benchmarks.tables.paper import Column, Row, Table

TABLE = Table(
    number=3,
    title="Faster R-CNN FPN on UAVDT, average precision at IoU 0.7 by the toolkit's rule",
    benchmark="uavdt",
    source="FLSL, NeurIPS 2023, Table 3",
    columns=(Column("AP", ("AP",)),),
    rows=(
        Row("DINO", "ViT-S/16", (48.9,)),
        Row("DINO", "ViT-B/16", (49.1,)),
        Row("DINO", "ViT-S/8", (51.1,)),
        Row("FLSL", "ViT-S/16", (53.1,)),
        Row("FLSL", "ViT-B/16", (53.5,)),
        Row("FLSL", "ViT-S/8", (55.2,)),
    ),
    noise=0.5,
    noise_reason="assumed: nobody has published repeated runs; on COCO it is 0.3",
)
