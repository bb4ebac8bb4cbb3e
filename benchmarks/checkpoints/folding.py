"""LayerScale folded into the projections before it, for engines whose blocks have none."""

from __future__ import annotations

from collections.abc import Mapping

import torch

#: A scale and the projection whose output it multiplies.
SCALED = {"ls1.gamma": "attn.proj", "ls2.gamma": "mlp.fc2"}


def fold_layer_scale(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The same network without LayerScale: ``gamma * (W x + b) = (gamma W) x + gamma b``, exact to float rounding."""
    folded = dict(tensors)
    for name in tensors:
        block, _, scale = name.rpartition(".ls")
        projection = SCALED.get(f"ls{scale}")
        if block and projection:
            gamma = folded.pop(name)
            folded[f"{block}.{projection}.weight"] = folded[f"{block}.{projection}.weight"] * gamma[:, None]
            folded[f"{block}.{projection}.bias"] = folded[f"{block}.{projection}.bias"] * gamma
    return folded
