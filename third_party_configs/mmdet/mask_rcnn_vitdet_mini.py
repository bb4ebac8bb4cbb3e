"""ViTDet on the small ViT: the code path of Table 2 at a size for two CPU cores.

Command: tools/table2.py --scale mini --checkpoint NAME=PATH --data-root DIR --out runs/table2
Cost and expected score: docs/coco.md, "The miniature". Not a paper setting.
The ViT is frozen: a few hundred steps teach a detector little, and with a trained backbone the steps, not
the checkpoint, would decide the score.
"""

_base_ = "./mask_rcnn_vitdet_b16_100ep_coco.py"

recipe = dict(_delete_=True, batch=4, updates=300, drops=(200, 275), warm_up=20, learning_rate=1e-3, precision="fp32")

channels = 64
size = 160
_meta_keys = ("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")
model = dict(
    data_preprocessor=dict(pad_size_divisor=size),
    backbone=dict(image_size=size, frozen=True, drop_path_rate=0.0, window=7),
    neck=dict(in_channels=128, patch=8, out_channels=channels),
    rpn_head=dict(
        in_channels=channels,
        feat_channels=channels,
        anchor_generator=dict(type="AnchorGenerator", scales=[5], ratios=[1.0], strides=[4, 8, 16, 32, 64]),
    ),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=channels),
        bbox_head=dict(in_channels=channels, conv_out_channels=channels, fc_out_channels=256),
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
        pipeline=[
            dict(type="LoadWholeImage"),
            dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
            dict(type="RandomFlip", prob=0.5),
            dict(type="RandomResize", scale=(size, size), ratio_range=(0.8, 1.25), keep_ratio=True),
            dict(type="DiagonalCrop", crop_size=(size, size), recompute_bbox=True, allow_negative_crop=True),
            dict(type="FilterAnnotations", min_gt_bbox_wh=(1e-5, 1e-5), keep_empty=False),
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
