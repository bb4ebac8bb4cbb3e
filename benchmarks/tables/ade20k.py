"""Semantic FPN of the paper's appendix, which could not be read: what others report for the released recipe."""

from __future__ import annotations

from benchmarks.tables.paper import Column, Cost, Row, Table

TABLE = Table(
    number="ade20k",
    title="Semantic FPN on ADE20K validation, 40,000 steps, in percent",
    benchmark="ade20k",
    source="README of alinlab/SelfPatch, released recipe; FLSL's own number is in its appendix",
    columns=(Column("mIoU", ("mIoU",)), Column("mAcc", ("mAcc",)), Column("aAcc", ("aAcc",))),
    rows=(
        Row("DINO", "ViT-S/16", (38.3, None, None), data="IN-1k"),
        Row("SelfPatch", "ViT-S/16", (41.2, None, None), data="IN-1k"),
    ),
    noise=0.5,
    noise_reason="assumed: nobody has published repeated runs",
    costs={"": Cost(None, "none published; 40,000 steps of 16 crops of 512x512 pixels")},
    version=2,  # 1: images were not normalised
    tasks=("ade20k-fpn",),
    mini_minutes=0.5,
    reported="others",
    compares=lambda result: result.run.get("recipe") == "released",
)
