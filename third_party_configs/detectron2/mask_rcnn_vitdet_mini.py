"""ViTDet on a small ViT of patch 16 in detectron2: the code path of Table 2 at a size for two CPU cores.

Command: tools/table2.py --engine detectron2 --scale mini --checkpoint NAME=PATH --data-root DIR --out runs/table2
Cost and expected score: not measured. Not a paper setting. Unlike the other engine's miniature it trains the ViT.
"""

import detectron2.data.transforms as T
from detectron2.config import LazyCall

from .mask_rcnn_vitdet_b16_100ep_coco import augmentations, expects, layer_decay, model, optimizer  # noqa: F401

size, channels = 160, 64
recipe = dict(batch=4, updates=300, drops=(200, 275), warm_up=20, learning_rate=1e-3, precision="fp32")

model.backbone.net.img_size = model.backbone.square_pad = size
model.backbone.net.window_size = 7
model.backbone.net.drop_path_rate = 0.0
model.backbone.out_channels = channels
model.proposal_generator.head.in_channels = channels
model.proposal_generator.pre_nms_topk = model.proposal_generator.post_nms_topk = (300, 100)
model.roi_heads.batch_size_per_image = 64
model.roi_heads.box_head.input_shape.channels = model.roi_heads.mask_head.input_shape.channels = channels
model.roi_heads.box_head.conv_dims = [channels] * 4
model.roi_heads.box_head.fc_dims = [256]
model.roi_heads.box_predictor.input_shape.channels = 256
model.roi_heads.mask_head.conv_dims = [channels] * 3

augmentations.train[1] = LazyCall(T.ResizeScale)(min_scale=0.8, max_scale=1.25, target_height=size, target_width=size)
augmentations.train[2].crop_size = (size, size)
augmentations.test[0].short_edge_length = augmentations.test[0].max_size = size
