"""timm's own networks under the contract of the house: any image size, ``patch_tokens``, ``stage_maps``."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.checkpoints.card import ANTIALIAS_RESIZE, ResizeRule, TimmArchitecture
from benchmarks.checkpoints.timm_networks import make
from benchmarks.errors import InputError


class TimmNetwork(nn.Module):
    """What the house asks of a backbone, laid over a class of timm (:func:`timm_network` makes one).

    Parameter names and outputs of ``forward_features`` and ``forward_intermediates`` are timm's. Networks whose tables
    belong to one image size (BEiT's relative positions) are resized, by timm's rule, in a copy for each new size.
    """

    architecture: TimmArchitecture
    resize: ResizeRule
    set_input_size: Callable[..., None]

    def patch_tokens(self, images: torch.Tensor) -> torch.Tensor:
        """Images ``[B, 3, H, W]`` -> cells of the last map after the final norm, ``[B, h*w, D]``, row-major.

        Class and register tokens are left out. A network without a final norm gives its raw output.
        """
        features = self.forward_features(images)
        if features.ndim == 3:
            return features[:, self.architecture.prefix :]
        cells = features if getattr(self, "output_fmt", "NCHW") == "NHWC" else features.permute(0, 2, 3, 1)
        if self.architecture.norm_tokens:
            norm: Any = self.head.norm
            cells = F.layer_norm(cells, (cells.shape[-1],), norm.weight, norm.bias, norm.eps)
        return cells.flatten(1, 2)

    def stage_maps(self, images: torch.Tensor) -> list[torch.Tensor]:
        """The raw maps ``[B, C, h, w]``, one a stride of the architecture, coarsest last."""
        return self.forward_intermediates(images, len(self.architecture.strides), intermediates_only=True)

    def forward_features(self, images: torch.Tensor) -> torch.Tensor:
        """timm's, for any size of images."""
        return super(TimmNetwork, self._fitted(images)).forward_features(images)  # type: ignore[misc]

    def forward_intermediates(self, images: torch.Tensor, *args: Any, **options: Any) -> Any:
        """timm's, for any size of images."""
        return super(TimmNetwork, self._fitted(images)).forward_intermediates(images, *args, **options)  # type: ignore[misc]

    def _fitted(self, images: torch.Tensor) -> TimmNetwork:
        """Itself, or a copy whose tables are of these images' size."""
        size = tuple(images.shape[2:])
        own = getattr(self.patch_embed, "img_size", size) if self.architecture.fixed_size else size
        if size == own:
            return self
        if self.training:
            raise InputError(f"{self.architecture.name} trains at its own size {own} alone, not at {size}")
        kept, fitted = self.__dict__.get("_copy", (None, None))
        if kept != size:
            fitted = copy.deepcopy(self)
            fitted.set_input_size(img_size=size)
            self.__dict__["_copy"] = (size, fitted)  # one is kept; replaced whole, since threads may share a network
        return fitted

    def train(self, mode: bool = True) -> TimmNetwork:
        """As of any module; what was fitted to other sizes is forgotten, since weights may change."""
        self.__dict__.pop("_copy", None)
        return super().train(mode)


@cache
def _with_contract(cls: type[nn.Module]) -> type[TimmNetwork]:
    return type(cls.__name__, (TimmNetwork, cls), {})


def timm_network(architecture: TimmArchitecture, resize: ResizeRule, drop_path_rate: float = 0.0) -> TimmNetwork:
    """The network of a card, freshly initialised. timm's classes resize positions by one rule; another is refused."""
    if resize != ANTIALIAS_RESIZE:
        raise InputError(f"timm's {architecture.name} resizes positions by timm's rule, not by {resize}")
    network: Any = make(architecture, drop_path_rate)
    network.__class__ = _with_contract(network.__class__)
    network.architecture, network.resize = architecture, resize
    return network
