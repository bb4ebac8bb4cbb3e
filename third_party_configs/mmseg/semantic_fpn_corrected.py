"""Semantic FPN on ADE20K, 40k iterations, with what the released recipe meant: real levels, norms that do not decay.

Command: tools/ade20k.py --recipe corrected --checkpoint NAME=PATH --data-root data --out runs/ade20k --launcher torchrun --gpus 8
Cost: more than the released recipe's, because the head works at stride 4 and not 16; not measured here.
Expected score: none is published.
"""  # noqa: E501

_base_ = "./semantic_fpn_released.py"

model = dict(backbone=dict(levels="real", train_positions=False))
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={"norm": dict(decay_mult=0.0)}))
