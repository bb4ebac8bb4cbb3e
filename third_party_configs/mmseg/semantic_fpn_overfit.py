"""Semantic FPN on a handful of real images, trained and scored on the same: does everything that must learn, learn?

Command: python tests/performance/ade20k_overfit.py --data-root data
Cost and expected score: docs/ade20k.md, "Overfitting six images". Not a paper setting.
The corrected recipe at half its width on squares of 256 pixels without augmentation, every parameter trained from a ViT
of any width. Labels that are off by one, a palette in place of indices or a forgotten parameter show here in minutes.
"""

_base_ = "./semantic_fpn_corrected.py"

size = (256, 256)
model = dict(
    data_preprocessor=dict(size=size),
    backbone=dict(norm="BN", drop_path_rate=0.0),
    neck=dict(out_channels=128),
    decode_head=dict(
        in_channels=[128] * 4,
        channels=128,
        dropout_ratio=0.0,
        norm_cfg=dict(_delete_=True, type="BN", requires_grad=True),
    ),
)
train_pipeline = [
    dict(type="LoadWholeImage"),
    dict(type="LoadAnnotations"),
    dict(type="Resize", scale=size, keep_ratio=False),
    dict(type="PackSegInputs"),
]
test_pipeline = [
    dict(type="LoadWholeImage"),
    dict(type="Resize", scale=size, keep_ratio=False),
    dict(type="LoadAnnotations"),
    dict(type="PackSegInputs"),
]
train_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(pipeline=train_pipeline))
test_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(pipeline=test_pipeline))
optim_wrapper = dict(clip_grad=dict(max_norm=10.0))
