"""Training below fp32 that mmengine and mmdet lack: bfloat16 on any device, and boxes that stay exact.

Importing this module imports mmdet; configs name it in their ``custom_imports``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from mmdet.models.dense_heads import RPNHead
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
class PreciseRPN(RPNHead):
    """mmdet's proposals from fp32 logits and deltas: decoded, ranked and suppressed as without autocast."""

    def forward_single(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        logits, deltas = super().forward_single(x)
        return logits.float(), deltas.float()
