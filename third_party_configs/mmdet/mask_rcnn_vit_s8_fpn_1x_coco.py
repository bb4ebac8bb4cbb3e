"""Mask R-CNN FPN with ViT-S/8 on COCO, 1x: Table 1's last row. Its config was never released.

Command: tools/table1.py --checkpoint flsl=flsl_s8.safetensors --data-root data --out runs/table1 \\
    --launcher torchrun --gpus 8
Cost: 175,908 updates of 8 images with four times the tokens of patch 16 and global attention; not measured here.
Expected score (paper): FLSL 46.5 box AP, 42.1 mask AP.
"""

_base_ = "./mask_rcnn_vit_fpn_1x_coco.py"

expects = dict(embed_dim=384, depth=12, patch_size=8)
model = dict(backbone=dict(num_heads=6))
