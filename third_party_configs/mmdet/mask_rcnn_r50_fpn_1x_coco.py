"""Mask R-CNN R50-FPN on COCO, 1x: Table 1's rows MoCo-v2, DetCo, DenseCL, BYOL and SCRL.

Command: tools/table1.py --checkpoint mocov2=mocov2_r50.safetensors --data-root data --out runs/table1 \\
    --launcher torchrun --gpus 8
Cost: 12 epochs of 117,266 images, 87,960 updates of 16 images; not measured here.
Expected score (box AP / mask AP, paper): MoCo-v2 38.9 / 35.5, DetCo 40.1 / 36.4, DenseCL 40.3 / 36.4, BYOL 40.4 / 37.2,
SCRL 41.3 / 37.7. The paper took them over from others, whose recipes differ in parts that it does not name.

What those recipes share: SGD at 0.02 for batch 16, synchronised batch norms that are trained, also in the pyramid,
no frozen stage, RGB input, the stride in the 3x3 convolution (the house ResNet has it there), shorter side 640 ... 800.
"""

_base_ = ["mmdet::_base_/models/mask-rcnn_r50_fpn.py", "./coco_instances.py"]

recipe = dict(batch=16, epochs=12, drops=(8, 11), warm_up=500, learning_rate=0.02, precision="fp32")
expects = dict(kind="resnet", block="bottleneck")  # basic blocks have other widths

_norm = dict(type="SyncBN", requires_grad=True)
model = dict(
    backbone=dict(_delete_=True, type="CanonicalResNet", checkpoint="", norm="SyncBN", frozen=False),
    neck=dict(norm_cfg=_norm),
    roi_head=dict(bbox_roi_extractor=dict(type="Regions"), mask_roi_extractor=dict(type="Regions")),
)
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type="LoadWholeImage"),
            dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
            dict(type="RandomChoiceResize", scales=[(side, 1333) for side in range(640, 801, 32)], keep_ratio=True),
            dict(type="RandomFlip", prob=0.5),
            dict(type="PackDetInputs"),
        ]
    )
)
optim_wrapper = dict(optimizer=dict(type="SGD", lr=0.02, momentum=0.9, weight_decay=1e-4))
