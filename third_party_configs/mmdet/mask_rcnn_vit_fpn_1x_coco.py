"""Mask R-CNN FPN on COCO, 1x with DETR-style scales: Table 1's detector for any network that ``load_backbone`` gives.

Command: tools/table1.py --checkpoint NAME=PATH --data-root data --out runs/table1 --launcher torchrun --gpus 8
Cost: 12 epochs of 117,266 images, 175,908 updates of 8 images; not measured here.
Expected score: see the configs for ViT-S/16 and ViT-S/8, which are this one with the width and the heads spelt out.

Patch size, width, depth, registers and LayerScale are the checkpoint's. Four raw taps make the pyramid
(benchmarks/backbones/pyramid.py); patches of 14 pixels are resampled to 16 (benchmarks/backbones/patches.py). ConvNeXt
and Swin come in with the maps of their stages, as ``CanonicalStages``.
Source: ISL-CV/FLSL @ acb5d6f, detection/, as described in docs/coco.md.
"""

_base_ = ["mmdet::_base_/models/mask-rcnn_r50_fpn.py", "./coco_instances.py"]

# Batch 8 is inferred: 8 GPUs with one image each, half of Swin's batch at half of Swin's learning rate.
recipe = dict(batch=8, epochs=12, drops=(8, 11), warm_up=1000, learning_rate=5e-5, precision="fp16")
expects = dict(kind=("vit", "timm"))

model = dict(
    # num_heads None: the checkpoint's own.
    backbone=dict(_delete_=True, type="CanonicalViT", checkpoint="", num_heads=None, drop_path_rate=0.05, frozen=False),
    neck=dict(in_channels=[384] * 4),
    roi_head=dict(bbox_roi_extractor=dict(type="Regions"), mask_roi_extractor=dict(type="Regions")),
)

# Shorter side 480 ... 800, longer side at most 1333; every second image is cropped before, to sides of 384 ... 600.
_scales = [(side, 1333) for side in range(480, 801, 32)]
_resize = dict(type="RandomChoiceResize", scales=_scales, keep_ratio=True)
_crop = [
    dict(type="RandomChoiceResize", scales=[(400, 1333), (500, 1333), (600, 1333)], keep_ratio=True),
    dict(type="RandomCrop", crop_type="absolute_range", crop_size=(384, 600), allow_negative_crop=True),
    _resize,
]
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type="LoadWholeImage"),
            dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
            dict(type="RandomFlip", prob=0.5),
            dict(type="RandomChoice", transforms=[[_resize], _crop]),
            dict(type="PackDetInputs"),
        ]
    )
)

# Names with these parts do not decay; biases, the norm inside the pyramid and all of the heads do, as published.
optim_wrapper = dict(
    optimizer=dict(type="AdamW", lr=5e-5, betas=(0.9, 0.999), weight_decay=0.05),
    paramwise_cfg=dict(
        custom_keys={
            "pos_embed": dict(decay_mult=0.0),
            "cls_token": dict(decay_mult=0.0),
            "norm": dict(decay_mult=0.0),
            "relative_position_bias_table": dict(decay_mult=0.0),  # Swin's alone
        }
    ),
)
