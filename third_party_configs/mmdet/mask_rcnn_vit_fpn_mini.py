"""Mask R-CNN FPN on the small ViT: the code path of Table 1 at a size for two CPU cores.

Command: tools/table1.py --scale mini --checkpoint NAME=PATH --data-root DIR --out runs/table1, or tools/quickstart.py
Cost: about two minutes on 2 cores.  Expected score: docs/coco.md, "The miniature". Not a paper setting.
The ViT is frozen: 300 steps teach a detector little, and with a trained backbone the steps, not
the checkpoint, would decide the score.
"""

_base_ = "./mask_rcnn_vit_fpn_1x_coco.py"

recipe = dict(_delete_=True, batch=4, updates=300, drops=(200, 275), warm_up=20, learning_rate=1e-3, precision="fp32")

expects = dict(kind=("vit", "timm", "resnet"))

channels = 64
size = 160
_meta_keys = ("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")
model = dict(
    backbone=dict(norm="BN", frozen=True, drop_path_rate=0.0),
    neck=dict(in_channels=[128] * 4, out_channels=channels),
    rpn_head=dict(
        in_channels=channels,
        feat_channels=channels,
        anchor_generator=dict(type="AnchorGenerator", scales=[5], ratios=[1.0], strides=[4, 8, 16, 32, 64]),
    ),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=channels),
        bbox_head=dict(in_channels=channels, fc_out_channels=256),
        mask_roi_extractor=dict(out_channels=channels),
        mask_head=dict(in_channels=channels, conv_out_channels=channels, num_convs=2),
    ),
    train_cfg=dict(
        rpn_proposal=dict(nms_pre=500, max_per_img=200),
        rcnn=dict(sampler=dict(num=64)),
    ),
    test_cfg=dict(rpn=dict(nms_pre=300, max_per_img=100)),
)
train_dataloader = dict(
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        filter_cfg=dict(min_size=16),
        pipeline=[
            dict(type="LoadWholeImage"),
            dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
            dict(type="Resize", scale=(size, size), keep_ratio=True),
            dict(type="RandomFlip", prob=0.5),
            dict(type="PackDetInputs"),
        ],
    ),
)
detect_dataloader = dict(
    batch_size=4,
    num_workers=0,
    dataset=dict(
        pipeline=[
            dict(type="LoadWholeImage"),
            dict(type="Resize", scale=(size, size), keep_ratio=True),
            dict(type="PackDetInputs", meta_keys=_meta_keys),
        ]
    ),
)
optim_wrapper = dict(clip_grad=dict(max_norm=10.0))
custom_hooks = [
    dict(type="VerifiedLoading"),
    dict(type="ReplayedSteps"),
    dict(type="LossLog"),
    dict(type="AtomicSnapshot", interval=100),
]
