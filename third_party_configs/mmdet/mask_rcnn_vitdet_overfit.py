"""ViTDet on a handful of real images, trained and scored on the same: does everything that must learn, learn?

Command: python tests/performance/coco_overfit.py --coco-root data/coco --detector vitdet
Cost and expected score: docs/coco.md, "Overfitting eight images". Not a paper setting.
Table 2's detector at half its width on squares of 320 pixels, with relative positions, without augmentation, every
parameter trained, with the paper's layer decay.
"""

_base_ = "./mask_rcnn_vitdet_b16_100ep_coco.py"

recipe = dict(_delete_=True, batch=2, updates=330, drops=(277, 310), warm_up=30, learning_rate=5e-4, precision="bf16")

channels = 128
size = 320
_meta_keys = ("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")
model = dict(
    data_preprocessor=dict(pad_size_divisor=size),
    backbone=dict(image_size=size, relative_positions=True, drop_path_rate=0.0, window=10),
    neck=dict(out_channels=channels),
    rpn_head=dict(in_channels=channels, feat_channels=channels),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=channels),
        bbox_head=dict(in_channels=channels, conv_out_channels=channels, fc_out_channels=512),
        mask_roi_extractor=dict(out_channels=channels),
        mask_head=dict(in_channels=channels, conv_out_channels=channels),
    ),
    train_cfg=dict(rpn_proposal=dict(nms_pre=500, max_per_img=200), rcnn=dict(sampler=dict(num=64))),
)
train_dataloader = dict(
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        pipeline=[
            dict(type="LoadWholeImage"),
            dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
            dict(type="Resize", scale=(size, size), keep_ratio=True),
            dict(type="PackDetInputs"),
        ],
    ),
)
detect_dataloader = dict(
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
    dict(type="AtomicSnapshot", interval=50),
]
