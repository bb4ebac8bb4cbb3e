"""ViTDet-B/16 with Mask R-CNN on COCO, 100 epochs, without relative positions: Table 2.

Command: tools/table2.py --checkpoint flsl=flsl_b16.safetensors --data-root data --out runs/table2 \\
    --launcher torchrun --gpus 64
Cost: 184,375 updates of 64 images of 1024 x 1024; detectron2's authors give 0.314 s an image on an A100 card,
about 1,000 GPU-hours. Not measured here.
Expected score (box AP / mask AP, paper): none 48.1 / 42.6, DINO 48.9 / 43.7, MAE 51.2 / 45.5, FLSL 53.1 / 47.0.

Whether the paper used relative positions is unknown; mask_rcnn_vitdet_b16_relpos_100ep_coco.py has them. Their authors
report 51.2 / 45.5 for MAE without and 51.6 / 45.9 with them.
For S, L, H and g the length, the learning rates, the windows and the drop path are those of benchmarks/coco/vitdet.py.
Source: facebookresearch/detectron2 @ 02b5c4e2, projects/ViTDet. The detector is the same, the parameters of one load
into the other (benchmarks/engines/detectron2_names.py).
"""

_base_ = ["mmdet::_base_/models/mask-rcnn_r50_fpn.py", "./coco_instances.py"]

# 184,375 updates = 100 epochs x 118,000 images / 64
recipe = dict(batch=64, updates=184_375, drops=(163_889, 177_546), warm_up=250, learning_rate=1e-4, precision="fp16")
expects = dict(kind="vit")

size = 1024
_norm = dict(type="ChannelNorm", eps=1e-6)
model = dict(
    # Normalised, then padded with zeros to the right and below, to a square of 1024.
    data_preprocessor=dict(pad_size_divisor=size),
    backbone=dict(
        _delete_=True,
        type="CanonicalViTDet",
        checkpoint="",
        image_size=size,
        relative_positions=False,
        num_heads=None,
        drop_path_rate=0.1,
        window=14,
        prefix_tokens=None,
        frozen=False,
    ),
    neck=dict(_delete_=True, type="SimplePyramidNeck", in_channels=768, patch=16, out_channels=256),
    rpn_head=dict(num_convs=2),
    roi_head=dict(
        bbox_roi_extractor=dict(type="Regions"),
        mask_roi_extractor=dict(type="Regions"),
        bbox_head=dict(type="Shared4Conv1FCBBoxHead", norm_cfg=_norm),
        mask_head=dict(norm_cfg=_norm),
    ),
    train_cfg=dict(rcnn=dict(assigner=dict(match_low_quality=False))),
)

# Large-scale jitter: 0.1 ... 2 times the size that fits into the square, then a crop of at most the square.
train_dataloader = dict(
    dataset=dict(
        filter_cfg=dict(filter_empty_gt=True, min_size=0),
        pipeline=[
            dict(type="LoadWholeImage"),
            dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
            dict(type="RandomFlip", prob=0.5),
            dict(type="RandomResize", scale=(size, size), ratio_range=(0.1, 2.0), keep_ratio=True),
            dict(type="DiagonalCrop", crop_size=(size, size), recompute_bbox=True, allow_negative_crop=True),
            dict(type="FilterAnnotations", min_gt_bbox_wh=(1e-5, 1e-5), keep_empty=False),
            dict(type="PackDetInputs"),
        ],
    )
)
detect_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type="LoadWholeImage"),
            dict(type="Resize", scale=(size, size), keep_ratio=True),
            dict(type="PackDetInputs", meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")),
        ]
    )
)

optim_wrapper = dict(
    optimizer=dict(type="AdamW", lr=1e-4, betas=(0.9, 0.999), weight_decay=0.1),
    constructor="LayerDecay",
    paramwise_cfg=dict(rate=0.7),
)
