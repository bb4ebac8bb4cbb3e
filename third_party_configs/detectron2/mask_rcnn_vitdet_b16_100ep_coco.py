"""ViTDet-B/16 with Mask R-CNN on COCO, 100 epochs, without relative positions: Table 2 in detectron2.

Command: tools/table2.py --engine detectron2 --checkpoint flsl=flsl_b16.safetensors --data-root data --out runs \\
    --launcher torchrun --gpus 64
Cost: 184,375 updates of 64 images of 1024 x 1024, about 1,000 GPU-hours at the 0.314 s an image of detectron2's README.
Expected score (box AP / mask AP, paper): DINO 48.9 / 43.7, MAE 51.2 / 45.5, FLSL 53.1 / 47.0.

detectron2's own config but for the relative positions. Whether the position table has a class row, and the ViT's width,
depth and heads, come from the checkpoint's card; length, learning rates, windows and drop path of other sizes from
benchmarks/coco/vitdet.py. A network that detectron2's ViT cannot hold (registers, rotary positions, gated MLPs) runs as
the house's, below detectron2's pyramid and heads.
"""

import detectron2.data.transforms as T
from detectron2 import model_zoo
from detectron2.config import LazyCall

size = 1024
# 184,375 updates = 100 epochs x 118,000 images / 64
recipe = dict(batch=64, updates=184_375, drops=(163_889, 177_546), warm_up=250, learning_rate=1e-4, precision="fp16")
# detectron2's pyramid has strides 4 to 32 of a map of stride 16 alone: patches of 14 become 16 or are padded.
expects = dict(kind="vit", patch_size=(14, 16))

model = model_zoo.get_config("common/models/mask_rcnn_vitdet.py").model
model.backbone.net.use_rel_pos = False

# The layer decay goes by the depth of the checkpoint: benchmarks/engines/detectron2.py.
optimizer = model_zoo.get_config("common/optim.py").AdamW
optimizer.params.overrides = {"pos_embed": {"weight_decay": 0.0}}
layer_decay = dict(rate=0.7)

# Large-scale jitter: 0.1 ... 2 times the size that fits into the square, then a crop of at most the square.
augmentations = dict(
    train=[
        LazyCall(T.RandomFlip)(horizontal=True),
        LazyCall(T.ResizeScale)(min_scale=0.1, max_scale=2.0, target_height=size, target_width=size),
        LazyCall(T.FixedSizeCrop)(crop_size=(size, size), pad=False),
    ],
    test=[LazyCall(T.ResizeShortestEdge)(short_edge_length=size, max_size=size)],
)
