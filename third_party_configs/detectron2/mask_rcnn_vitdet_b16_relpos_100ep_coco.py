"""ViTDet-B/16 with Mask R-CNN on COCO, 100 epochs, with decomposed relative positions: detectron2's published config.

Command: tools/table2.py --engine detectron2 --relative-positions --checkpoint mae=mae_b16.safetensors ...
Cost: as mask_rcnn_vitdet_b16_100ep_coco.py.
Expected score: MAE 51.6 box AP, 45.9 mask AP (detectron2, projects/ViTDet/README.md).
"""

from .mask_rcnn_vitdet_b16_100ep_coco import (  # noqa: F401
    augmentations,
    expects,
    layer_decay,
    model,
    optimizer,
    recipe,
)

model.backbone.net.use_rel_pos = True
