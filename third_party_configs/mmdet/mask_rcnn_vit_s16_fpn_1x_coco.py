"""Mask R-CNN FPN with ViT-S/16 on COCO, 1x: Table 1 with the six heads that the pretraining had.

Command: tools/table1.py --checkpoint flsl=flsl_s16.safetensors --data-root data --out runs/table1 \\
    --launcher torchrun --gpus 8
Cost: 175,908 updates of 8 images; not measured here.
Expected score (box AP / mask AP, paper): DINO 40.8 / 37.3, SelfPatch 42.1 / 38.5, FLSL 44.9 / 40.8. If those were
made with the released config they carry its 8 heads (mask_rcnn_vit_s16_8heads_fpn_1x_coco.py), and six may score
higher.
"""

_base_ = "./mask_rcnn_vit_fpn_1x_coco.py"

expects = dict(embed_dim=384, depth=12, patch_size=16)
model = dict(backbone=dict(num_heads=6))
