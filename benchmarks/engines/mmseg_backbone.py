"""mmseg's view of a canonical checkpoint: four maps for a feature pyramid, and what proves the weights.

Importing this module imports mmseg; the configs of Semantic FPN name it in their ``custom_imports``.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS, MODELS
from torch import nn

from benchmarks.backbones.loading import build, load_exactly, weight_differences
from benchmarks.backbones.pyramid import FourTapPyramid
from benchmarks.backbones.resnet import HouseResNet
from benchmarks.checkpoints.canonical import read_canonical
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
    """The house ViT or ResNet of a canonical checkpoint with four maps out.

    Args:
        checkpoint: canonical ``.safetensors``.
        levels: of a ViT. ``declared``: the four taps as they are, all of the patch's stride, as FLSL and SelfPatch
            released it. ``real``: the detectors' pyramid brings them to strides 4, 8, 16 and 32. A ResNet has these.
        train_positions: whether fixed (sine-cosine) positions train as well, as they do in the released code.
        drop_path_rate: of a ViT's last block, rising linearly from 0.
        norm: of the pyramid: ``SyncBN`` or, in one process without a GPU, ``BN``.
        frozen: leave the network as it is and train what follows.
    """

    def __init__(
        self,
        checkpoint: str,
        levels: str = "real",
        train_positions: bool = False,
        drop_path_rate: float = 0.0,
        norm: str = "SyncBN",
        frozen: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.checkpoint, self.frozen, self.pyramid = checkpoint, frozen, None
        _, card = read_canonical(checkpoint)
        a = card.architecture
        self.network = build(card, drop_path_rate)
        if isinstance(self.network, HouseResNet):
            self.taps = None
        else:
            if 32 % a.patch_size:
                raise InputError(f"Semantic FPN here takes a ViT of patch 8 or 16, and {checkpoint} has {a.patch_size}")
            self.taps = list(segmentation_taps(a.depth))
            if levels == "real":
                self.pyramid = FourTapPyramid(a.embed_dim, a.patch_size, NORMS[norm])
            # The taps are raw: the final norm takes no part.
            self.network.norm.requires_grad_(False)
            if a.position.startswith("sincos"):
                self.network.pos_embed.requires_grad_(train_positions)
        if frozen:
            self.network.requires_grad_(False)

    def init_weights(self) -> None:
        """Load the canonical tensors, all of them."""
        load_exactly(self.network, read_canonical(self.checkpoint)[0], self.checkpoint)
        self._is_init = True

    def differences(self) -> list[str]:
        """What keeps the network from being exactly the file's."""
        return weight_differences(self.network, read_canonical(self.checkpoint)[0])

    def train(self, mode: bool = True) -> SegmentationBackbone:
        super().train(mode)
        if self.frozen:
            self.network.eval()
        return self

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Images ``[B, 3, H, W]`` -> four maps. Sides are multiples of 32, or of anything where levels are declared:
        patches beyond the edge are filled up with zeros, as mmseg does."""
        if self.taps is not None:
            side = self.network.architecture.patch_size
            images = F.pad(images, (0, -images.shape[3] % side, 0, -images.shape[2] % side))
        maps = self.network.forward_intermediates(images, indices=self.taps, norm=False, intermediates_only=True)
        return tuple(maps) if self.pyramid is None else self.pyramid(maps)


@DATASETS.register_module()
class PairedImages(BaseSegDataset):
    """Images with their label maps: the pairs of paths in the JSON list ``ann_file``, in the order of the images."""

    def load_data_list(self) -> list[dict]:
        common = {"label_map": self.label_map, "reduce_zero_label": self.reduce_zero_label, "seg_fields": []}
        found = sorted(map(tuple, json.loads(Path(self.ann_file).read_text(encoding="utf-8"))))
        return [{"img_path": image, "seg_map_path": labels, **copy.deepcopy(common)} for image, labels in found]
