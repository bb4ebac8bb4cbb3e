"""Where a query patch looks in the last layer, for several checkpoints side by side."""

from __future__ import annotations

import os

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure
from torchvision.transforms import functional as TF

from benchmarks.backbones.vit import HouseViT
from benchmarks.checkpoints.card import Card
from benchmarks.files import atomic_path


@torch.inference_mode()
def last_attention(module: HouseViT, images: torch.Tensor) -> torch.Tensor:
    """Softmax attention of the last block: images ``[B, 3, H, W]`` -> ``[B, heads, N, N]``, prefix tokens included.

    As DINO's ``get_last_selfattention``: computed from the block's own projections, before dropout.
    """
    seen: dict[str, torch.Tensor] = {}
    block = module.blocks[-1].attn
    handle = block.register_forward_pre_hook(lambda _, inputs: seen.update(x=inputs[0]))
    try:
        module.forward_features(images)
    finally:
        handle.remove()
    x = seen["x"]
    batch, tokens, _ = x.shape
    query, key, _ = block.qkv(x).view(batch, tokens, 3, block.num_heads, block.head_dim).permute(2, 0, 3, 1, 4)
    return ((query * block.scale) @ key.transpose(-2, -1)).softmax(dim=-1)


def write_query_attention(
    path: str | os.PathLike[str],
    image: np.ndarray,
    query: tuple[int, int],
    networks: dict[str, tuple[HouseViT, Card]],
) -> None:
    """Write a PNG: the image with its query patch marked, then each network's head-mean attention of that patch.

    ``image`` is RGB uint8 ``[H, W, 3]``, sides multiples of the patch sizes; ``query`` is (x, y) in pixels. The class
    token's column is left out, not renormalised.
    """
    figure = Figure(figsize=(2.6 * (len(networks) + 1), 2.9), layout="constrained")
    axes = figure.subplots(1, len(networks) + 1)
    axes[0].imshow(image)
    axes[0].plot(*query, "o", color="lime", markersize=8, markeredgecolor="black")
    axes[0].set_title("query patch", fontsize=9)
    for axis, (name, (module, card)) in zip(axes[1:], networks.items(), strict=True):
        patch = card.architecture.patch_size
        pixels = TF.normalize(TF.to_tensor(image), card.mean, card.std)[None]
        height, width = image.shape[0] // patch, image.shape[1] // patch
        token = module.num_prefix_tokens + (query[1] // patch) * width + query[0] // patch
        weights = last_attention(module, pixels)[0].mean(0)[token, module.num_prefix_tokens :]
        axis.imshow(weights.view(height, width).numpy(), cmap=matplotlib.colormaps["viridis"])
        axis.set_title(name, fontsize=9)
    for axis in axes:
        axis.set_axis_off()
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=120, format="png")
