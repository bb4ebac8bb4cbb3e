"""Semantic FPN on the small ViT and the shapes world, two cores: the released recipe's code path. Not a paper setting.

Command: tools/ade20k.py --scale mini --recipe released --checkpoint NAME=PATH --data-root DIR --out runs/ade20k
Cost and expected score: docs/ade20k.md, "The miniature". The backbone is frozen: a few hundred steps teach little, and
with a trained backbone the steps, not the checkpoint, would decide the score.
"""

_base_ = "./semantic_fpn_released.py"

crop_size = (128, 128)
model = dict(
    data_preprocessor=dict(size=crop_size),
    backbone=dict(norm="BN", frozen=True, drop_path_rate=0.0),
    neck=dict(out_channels=64),
    decode_head=dict(in_channels=[64] * 4, channels=64, norm_cfg=dict(_delete_=True, type="BN", requires_grad=True)),
)
train_pipeline = [
    dict(type="LoadWholeImage"),
    dict(type="LoadAnnotations"),
    dict(type="RandomResize", scale=(512, 128), ratio_range=(0.8, 1.6), keep_ratio=True),
    dict(type="RandomCrop", crop_size=crop_size, cat_max_ratio=0.75),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackSegInputs"),
]
test_pipeline = [
    dict(type="LoadWholeImage"),
    dict(type="Resize", scale=(512, 128), keep_ratio=True),
    dict(type="LoadAnnotations"),
    dict(type="PackSegInputs"),
]
train_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(pipeline=train_pipeline))
test_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(pipeline=test_pipeline))
optim_wrapper = dict(clip_grad=dict(max_norm=10.0))
