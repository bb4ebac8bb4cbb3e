"""mmseg's view of a canonical checkpoint: four maps for a feature pyramid, and what proves the weights.

Importing this module imports mmseg; the configs of Semantic FPN name it in their ``custom_imports``.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import torch
from mmengine.model import BaseModule
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS, MODELS
from torch import nn

from benchmarks.backbones.fine_tuning import prepare, prepared_card, recompute, take_off
from benchmarks.backbones.loading import build, load_exactly, weight_differences
from benchmarks.backbones.patches import nearest_stride, on_padded
from benchmarks.backbones.pyramid import FourTapPyramid
from benchmarks.backbones.timm_network import TimmNetwork
from benchmarks.checkpoints.card import ResNetArchitecture
from benchmarks.errors import InputError

NORMS = {"SyncBN": nn.SyncBatchNorm, "BN": nn.BatchNorm2d}


def segmentation_taps(depth: int) -> tuple[int, ...]:
    """Blocks to tap, counted from 0: the last of every quarter.

    For depth 12 these are FLSL's and SelfPatch's 2, 5, 8, 11; their detectors tap 3, 5, 7, 11.
    """
    if depth < 4:
        raise InputError(f"a ViT of {depth} blocks has no four taps for Semantic FPN")
    return tuple((quarter + 1) * depth // 4 - 1 for quarter in range(4))


@MODELS.register_module()
class SegmentationBackbone(BaseModule):
    """The network of a canonical checkpoint with four maps out: a ViT's taps, or the stages that it has.

    Args:
        checkpoint: canonical ``.safetensors``.
        levels: of a ViT. ``declared``: the four taps as they are, all of the patch's stride, as FLSL and SelfPatch
            released it. ``real``: the detectors' pyramid brings them to strides 4, 8, 16 and 32. Networks of stages
            (ResNet, ConvNeXt, Swin) have these.
        train_positions: whether fixed (sine-cosine) positions train as well, as they do in the released code.
        drop_path_rate: of the last block, rising linearly from 0; a ResNet has none.
        norm: of the pyramid: ``SyncBN`` or, in one process without a GPU, ``BN``.
        frozen: leave the network as it is and train what follows.
        patches: what becomes of patches that fit no stride (:mod:`benchmarks.backbones.patches`).
        checkpointing: recompute activations in the backward pass.
    """

    network: Any  # of the house or of timm

    def __init__(
        self,
        checkpoint: str,
        levels: str = "real",
        train_positions: bool = False,
        drop_path_rate: float = 0.0,
        norm: str = "SyncBN",
        frozen: bool = False,
        patches: str = "resample",
        checkpointing: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.checkpoint, self.frozen, self.patches, self.pyramid = checkpoint, frozen, patches, None
        card = prepared_card(checkpoint, patches)
        a: Any = card.architecture
        self.network = build(card, drop_path_rate)
        if isinstance(a, ResNetArchitecture) or getattr(a, "hierarchical", False):
            self.taps = None
        else:
            self.taps, self.patch = list(segmentation_taps(a.depth)), a.patch_size
            if levels == "real":
                self.pyramid = FourTapPyramid(a.embed_dim, nearest_stride(a.patch_size), NORMS[norm])
        # The taps are raw: the final norm takes no part.
        take_off(self.network, frozen)
        if getattr(a, "position", "").startswith("sincos"):
            self.network.pos_embed.requires_grad_(train_positions and not frozen)
        if checkpointing and not frozen:
            recompute(self.network)

    def init_weights(self) -> None:
        """Load the canonical tensors, all of them."""
        load_exactly(self.network, prepare(self.checkpoint, self.patches).tensors, self.checkpoint)
        self._is_init = True

    def differences(self) -> list[str]:
        """What keeps the network from being exactly the file's."""
        return weight_differences(self.network, prepare(self.checkpoint, self.patches).tensors)

    def train(self, mode: bool = True) -> SegmentationBackbone:
        super().train(mode)
        if self.frozen:
            self.network.eval()
        return self

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Images ``[B, 3, H, W]`` -> four maps. Sides are multiples of 32, or of anything where levels are declared:
        patches beyond the edge are filled up with zeros, as mmseg does."""
        if self.taps is None:
            stages = self.network.stage_maps if isinstance(self.network, TimmNetwork) else self.network.stages
            return tuple(stages(images))
        maps = on_padded(self._tapped, images, self.patch)
        return tuple(maps) if self.pyramid is None else self.pyramid(maps)

    def _tapped(self, images: torch.Tensor) -> list[torch.Tensor]:
        return self.network.forward_intermediates(images, indices=self.taps, norm=False, intermediates_only=True)


@DATASETS.register_module()
class PairedImages(BaseSegDataset):
    """Images with their label maps: the pairs of paths in the JSON list ``ann_file``, in the order of the images."""

    def load_data_list(self) -> list[dict]:
        common = {"label_map": self.label_map, "reduce_zero_label": self.reduce_zero_label, "seg_fields": []}
        found = sorted(map(tuple, json.loads(Path(self.ann_file).read_text(encoding="utf-8"))))
        return [{"img_path": image, "seg_map_path": labels, **copy.deepcopy(common)} for image, labels in found]
