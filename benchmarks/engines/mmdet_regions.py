"""What a detector's heads see of the maps: mmdet's RoI extractor, made safe.

Importing this module imports mmdet; configs name it in their ``custom_imports``.
"""

from __future__ import annotations

import torch
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
from mmdet.registry import MODELS


@MODELS.register_module()
class Regions(SingleRoIExtractor):
    """mmdet's extractor for maps of any memory layout and precision; its arguments, its result in fp32.

    mmdet casts the boxes to the maps' type: in fp16 their corners move by up to a pixel beyond 1024 pixels, in bfloat16
    by up to four. detectron2 and the published detector's apex O1 stay in fp32. And a compiled mmcv's RoIAlign reads
    memory as if it were laid out ``[B, C, H, W]`` and takes a channels-last map for another one, without a word
    (open-mmlab/mmcv#2203): a channel norm makes such maps, and a convolution in cuDNN may. torchvision's does not.
    """

    def forward(
        self, feats: tuple[torch.Tensor, ...], rois: torch.Tensor, roi_scale_factor: float | None = None
    ) -> torch.Tensor:
        with torch.autocast(rois.device.type, enabled=False):
            return super().forward(tuple(m.float().contiguous() for m in feats), rois.float(), roi_scale_factor)
