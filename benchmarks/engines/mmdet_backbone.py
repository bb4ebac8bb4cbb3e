"""mmdet's view of a canonical checkpoint: a backbone, and the proof that its weights are the file's.

Importing this module imports mmdet; :mod:`benchmarks.engines.mmdet` does so when a run starts.
"""

from __future__ import annotations

import dataclasses

import torch
from mmdet.registry import HOOKS, MODELS
from mmengine.hooks import Hook
from mmengine.model import BaseModule, is_model_wrapper
from torch import nn

from benchmarks.backbones.loading import load_exactly, weight_differences
from benchmarks.backbones.pyramid import FourTapPyramid, default_taps
from benchmarks.backbones.vit import HouseViT
from benchmarks.checkpoints.canonical import read_canonical
from benchmarks.errors import InputError

NORMS = {"SyncBN": nn.SyncBatchNorm, "BN": nn.BatchNorm2d}


@MODELS.register_module()
class CanonicalViT(BaseModule):
    """The house ViT of a canonical checkpoint under the four-tap pyramid.

    Args:
        checkpoint: canonical ``.safetensors``.
        taps: four block indices; None takes :func:`default_taps`.
        num_heads: None takes the card's. Another number is "as released" of configs that got it wrong; no
            shape tells, so it is only ever set on purpose.
        drop_path_rate: of the last block, rising linearly from 0.
        norm: ``SyncBN`` or, in one process without a GPU, ``BN``.
        frozen: leave the ViT as it is and train the pyramid and what follows.
    """

    def __init__(
        self,
        checkpoint: str,
        taps: list[int] | None = None,
        num_heads: int | None = None,
        drop_path_rate: float = 0.0,
        norm: str = "SyncBN",
        frozen: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.checkpoint, self.frozen = checkpoint, frozen
        _, card = read_canonical(checkpoint)
        architecture = dataclasses.replace(card.architecture, num_heads=num_heads or card.architecture.num_heads)
        self.vit = HouseViT(architecture, card.resize, drop_path_rate)
        self.taps = list(taps or default_taps(architecture.depth))
        if len(self.taps) != 4 or max(self.taps) >= architecture.depth:
            raise InputError(f"taps {self.taps} do not name four of the {architecture.depth} blocks of {checkpoint}")
        self.pyramid = FourTapPyramid(architecture.embed_dim, architecture.patch_size, NORMS[norm])
        # The taps are raw: the final norm and fixed positions take no part in training.
        self.vit.norm.requires_grad_(False)
        if frozen:
            self.vit.requires_grad_(False)
        elif architecture.position != "learned":
            self.vit.pos_embed.requires_grad_(False)

    def init_weights(self) -> None:
        """Load the canonical tensors, all of them."""
        tensors, _ = read_canonical(self.checkpoint)
        load_exactly(self.vit, tensors, self.checkpoint)
        self._is_init = True

    def differences(self) -> list[str]:
        """What keeps the ViT from being exactly the file's."""
        return weight_differences(self.vit, read_canonical(self.checkpoint)[0])

    def train(self, mode: bool = True) -> CanonicalViT:
        super().train(mode)
        if self.frozen:
            self.vit.eval()
        return self

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Images ``[B, 3, H, W]``, sides multiples of 32 -> four maps of strides 4, 8, 16, 32."""
        taps = self.vit.forward_intermediates(images, indices=self.taps, norm=False, intermediates_only=True)
        return self.pyramid(taps)


@HOOKS.register_module()
class VerifiedLoading(Hook):
    """Ends a run whose backbone does not hold the checkpoint's weights after the library initialised it.

    A resumed run starts from its own snapshot and is not compared.
    """

    priority = "VERY_LOW"

    def before_train(self, runner) -> None:
        if runner.iter > 0:
            return
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        found = model.backbone.differences()
        if found:
            raise InputError(
                f"the backbone does not hold {model.backbone.checkpoint} after initialisation: "
                f"{'; '.join(found[:3])} ({len(found)} in all)"
            )
        runner.logger.info(f"verified: the backbone holds every tensor of {model.backbone.checkpoint}")
