"""Training below fp32 that mmengine and mmdet lack: bfloat16 on any device, and boxes that stay exact.

Importing this module imports mmdet; configs name it in their ``custom_imports``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from mmdet.models.dense_heads import RPNHead
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
from mmdet.registry import MODELS
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from torch import nn


@OPTIM_WRAPPERS.register_module()
class Bf16OptimWrapper(OptimWrapper):
    """Autocasts the forward pass to bfloat16, on a CPU too; its range is fp32's, so no loss is scaled."""

    @contextlib.contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        device = next(model.parameters()).device.type
        with super().optim_context(model), torch.autocast(device, torch.bfloat16):
            yield


@MODELS.register_module()
class PreciseRegions(SingleRoIExtractor):
    """mmdet's extractor in fp32 whatever the precision of the maps.

    mmdet casts the boxes to the maps' type: in fp16 their corners move by up to a pixel beyond 1024 pixels, in bfloat16
    by up to four, and its operator knows no bfloat16. detectron2 and the published detector's apex O1 stay in fp32.
    """

    def forward(
        self, feats: tuple[torch.Tensor, ...], rois: torch.Tensor, roi_scale_factor: float | None = None
    ) -> torch.Tensor:
        with torch.autocast(rois.device.type, enabled=False):
            return super().forward(tuple(m.float() for m in feats), rois.float(), roi_scale_factor)


@MODELS.register_module()
class PreciseRPN(RPNHead):
    """mmdet's proposals from fp32 logits and deltas: decoded, ranked and suppressed as without autocast."""

    def forward_single(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        logits, deltas = super().forward_single(x)
        return logits.float(), deltas.float()
