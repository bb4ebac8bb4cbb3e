"""Semantic FPN on the small ViT and the shapes world, two cores: the corrected recipe's code path. Not a paper setting.

Command: tools/ade20k.py --scale mini --recipe corrected --checkpoint NAME=PATH --data-root DIR --out runs/ade20k
Cost and expected score: docs/ade20k.md, "The miniature". To the other miniature as semantic_fpn_corrected.py is to
semantic_fpn_released.py.
"""

_base_ = "./semantic_fpn_released_mini.py"

model = dict(backbone=dict(levels="real", train_positions=False))
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={"norm": dict(decay_mult=0.0)}))
