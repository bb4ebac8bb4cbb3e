"""Mask R-CNN FPN on the small ViT: the code path of Table 1 at a size for two CPU cores.

Command: tools/quickstart.py, or benchmarks.coco.run.run(checkpoint, coco_root, out)
Cost: about two minutes on 2 cores.  Expected score: see README, "Controls". Not a paper setting.
The ViT is frozen: 300 steps teach a detector little, and with a trained backbone the steps, not
the checkpoint, would decide the score.
"""

_base_ = "mmdet::_base_/models/mask-rcnn_r50_fpn.py"
custom_imports = dict(imports=["benchmarks.engines.mmdet_backbone", "benchmarks.engines.mmdet_hooks"])
default_scope = "mmdet"

classes = 8
channels = 64
size = 160

model = dict(
    backbone=dict(_delete_=True, type="CanonicalViT", checkpoint="", norm="BN", frozen=True),
    neck=dict(in_channels=[128] * 4, out_channels=channels),
    rpn_head=dict(
        in_channels=channels,
        feat_channels=channels,
        anchor_generator=dict(type="AnchorGenerator", scales=[5], ratios=[1.0], strides=[4, 8, 16, 32, 64]),
    ),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=channels),
        bbox_head=dict(in_channels=channels, fc_out_channels=256, num_classes=classes),
        mask_roi_extractor=dict(out_channels=channels),
        mask_head=dict(in_channels=channels, conv_out_channels=channels, num_convs=2, num_classes=classes),
    ),
    train_cfg=dict(
        rpn_proposal=dict(nms_pre=500, max_per_img=200),
        rcnn=dict(sampler=dict(num=64)),
    ),
    test_cfg=dict(rpn=dict(nms_pre=300, max_per_img=100)),
)

train_pipeline = [
    dict(type="LoadWholeImage"),
    dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
    dict(type="Resize", scale=(size, size), keep_ratio=True),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackDetInputs"),
]
test_pipeline = [
    dict(type="LoadWholeImage"),
    dict(type="Resize", scale=(size, size), keep_ratio=True),
    dict(type="PackDetInputs", meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")),
]
train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset=dict(
        type="CocoDataset",
        ann_file="annotations/instances_train2017.json",
        data_prefix=dict(img="train2017/"),
        filter_cfg=dict(filter_empty_gt=True, min_size=16),
        pipeline=train_pipeline,
    ),
)
detect_dataloader = dict(
    batch_size=4,
    num_workers=0,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="CocoDataset",
        ann_file="annotations/instances_val2017.json",
        data_prefix=dict(img="val2017/"),
        test_mode=True,
        pipeline=test_pipeline,
    ),
)

train_cfg = dict(type="IterBasedTrainLoop", max_iters=300)
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=1e-3, weight_decay=0.05),
    paramwise_cfg=dict(custom_keys={"pos_embed": dict(decay_mult=0.0), "norm": dict(decay_mult=0.0)}),
    clip_grad=dict(max_norm=10.0),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=20),
    dict(type="CosineAnnealingLR", by_epoch=False, begin=20, end=300, eta_min=1e-5),
]

default_hooks = dict(checkpoint=None, logger=None, timer=None, runtime_info=dict(type="RuntimeInfoHook"))
custom_hooks = [
    dict(type="VerifiedLoading"),
    dict(type="LossLog"),
    dict(type="AtomicSnapshot", interval=100),
]
log_level = "ERROR"
