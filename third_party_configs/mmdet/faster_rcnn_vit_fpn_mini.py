"""Faster R-CNN FPN on the small ViT and the shapes world's aerial sequences: Table 3's code path for two CPU cores.

Command: tools/table3.py --scale mini --checkpoint NAME=PATH --data-root DIR --out runs/table3
Cost and expected score: docs/uavdt.md, "The miniature". Not a paper setting.
The ViT is frozen: a few hundred steps teach a detector little, and with a trained backbone the steps, not the
checkpoint, would decide the score.
"""

_base_ = "./faster_rcnn_vit_fpn_uavdt.py"

channels = 64

model = dict(
    backbone=dict(norm="BN", frozen=True, drop_path_rate=0.0),
    neck=dict(out_channels=channels),
    rpn_head=dict(
        in_channels=channels,
        feat_channels=channels,
        anchor_generator=dict(type="AnchorGenerator", scales=[6], ratios=[0.5, 1.0, 2.0], strides=[4, 8, 16, 32, 64]),
    ),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=channels),
        bbox_head=dict(in_channels=channels, fc_out_channels=256),
    ),
    train_cfg=dict(rpn_proposal=dict(nms_pre=500, max_per_img=200), rcnn=dict(sampler=dict(num=128))),
    test_cfg=dict(rpn=dict(nms_pre=300, max_per_img=200)),
)
train_dataloader = dict(num_workers=0, persistent_workers=False)
test_dataloader = dict(num_workers=0, persistent_workers=False)
val_dataloader = dict(num_workers=0, persistent_workers=False)
optim_wrapper = dict(clip_grad=dict(max_norm=10.0))
