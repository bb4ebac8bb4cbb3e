"""ViTDet's parameters under mmdet's and detectron2's names: what was trained in one engine runs in the other."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch

from benchmarks.errors import InputError

#: mmdet's name -> detectron2's, of the configs mask_rcnn_vitdet_*. Layers are counted from 0 here and from 1 there.
PLAIN = (
    ("backbone.vit.", "backbone.net."),
    ("neck.simfp_", "backbone.simfp_"),
    ("rpn_head.rpn_cls.", "proposal_generator.rpn_head.objectness_logits."),
    ("rpn_head.rpn_reg.", "proposal_generator.rpn_head.anchor_deltas."),
    ("roi_head.bbox_head.shared_fcs.0.", "roi_heads.box_head.fc1."),
    ("roi_head.bbox_head.fc_cls.", "roi_heads.box_predictor.cls_score."),
    ("roi_head.bbox_head.fc_reg.", "roi_heads.box_predictor.bbox_pred."),
    ("roi_head.mask_head.upsample.", "roi_heads.mask_head.deconv."),
    ("roi_head.mask_head.conv_logits.", "roi_heads.mask_head.predictor."),
)
COUNTED = (
    ("rpn_head.rpn_conv.", "proposal_generator.rpn_head.conv.conv", 0),
    ("roi_head.bbox_head.shared_convs.", "roi_heads.box_head.conv", 1),
    ("roi_head.mask_head.convs.", "roi_heads.mask_head.mask_fcn", 1),
)
#: What ViTDet has no use for and detectron2 no place: the final norm, the class token, registers.
UNUSED = ("backbone.vit.norm.", "backbone.vit.cls_token", "backbone.vit.reg_token")


def to_detectron2(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """An mmdet ViTDet's ``state_dict`` for detectron2's. LayerScale must have been folded; nothing else is refused."""
    found = {}
    for name, tensor in state.items():
        if not name.startswith(UNUSED):
            found[_there(name)] = tensor
    return found


def to_mmdet(state: Mapping[str, torch.Tensor], own: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A detectron2 ViTDet's ``state_dict`` for the mmdet detector whose ``state_dict`` is ``own``.

    What detectron2 has no place for stays as it is. :class:`InputError` where a parameter is missing.
    """
    found = {}
    for name, tensor in own.items():
        if name.startswith(UNUSED):
            found[name] = tensor
            continue
        there = _there(name)
        if there not in state:
            raise InputError(f"the detectron2 checkpoint has no {there}: it is no ViTDet of this configuration")
        found[name] = state[there]
    return found


def _there(name: str) -> str:
    if ".ls1." in name or ".ls2." in name:
        raise InputError(f"detectron2's ViT has no LayerScale ({name}): fold it into the projections first")
    for ours, theirs in PLAIN:
        if name.startswith(ours):
            return theirs + name.removeprefix(ours)
    for ours, theirs, first in COUNTED:
        counted = re.fullmatch(re.escape(ours) + r"(\d+)\.(conv|ln)\.(\w+)", name)
        if counted:
            number, part, kind = counted.groups()
            return f"{theirs}{int(number) + first}.{'norm.' if part == 'ln' else ''}{kind}"
    raise InputError(f"{name} is no parameter of ViTDet: which detector is this?")
