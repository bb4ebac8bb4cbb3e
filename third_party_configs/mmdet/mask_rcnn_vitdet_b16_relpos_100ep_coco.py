"""ViTDet-B/16 with Mask R-CNN on COCO, 100 epochs, with decomposed relative positions: detectron2's published config.

Command: tools/table2.py --relative-positions --checkpoint mae=mae_b16.safetensors --data-root data --out runs ...
Cost: as mask_rcnn_vitdet_b16_100ep_coco.py.
Expected score: MAE 51.6 box AP, 45.9 mask AP (detectron2, projects/ViTDet/README.md).
"""

_base_ = "./mask_rcnn_vitdet_b16_100ep_coco.py"

model = dict(backbone=dict(relative_positions=True))
