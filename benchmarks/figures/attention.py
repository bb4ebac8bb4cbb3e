"""Figure 4a: where a query patch looks in the last layer, for several checkpoints side by side."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure

from benchmarks.backbones.rotary import RotaryAttention, rotate
from benchmarks.backbones.vit import HouseViT
from benchmarks.checkpoints.card import Card
from benchmarks.errors import InputError
from benchmarks.figures.sheet import panel, save_figure
from benchmarks.figures.similarity import load_networks
from benchmarks.figures.sources import Picture, layers, normalised, read_picture
from benchmarks.files import atomic_path

#: The two readings of "attention of a query": the probabilities of the last block, or the cosine of its features.
KINDS = ("softmax", "cosine")


@torch.inference_mode()
def last_attention(module: HouseViT, images: torch.Tensor) -> torch.Tensor:
    """Softmax attention of the last block: images ``[B, 3, H, W]`` -> ``[B, heads, N, N]``, prefix tokens included.

    As DINO's ``get_last_selfattention``: computed from the block's own projections, before dropout.
    """
    seen: dict[str, torch.Tensor] = {}
    block: Any = module.blocks[-1].attn
    handle = block.register_forward_pre_hook(lambda _, x, named: seen.update(named, x=x[0]), with_kwargs=True)
    try:
        module.forward_features(images)
    finally:
        handle.remove()
    x = seen["x"]
    batch, tokens, _ = x.shape
    query, key, _ = block.qkv(x).view(batch, tokens, 3, block.num_heads, block.head_dim).permute(2, 0, 3, 1, 4)
    query, key = block.q_norm(query), block.k_norm(key)
    if isinstance(block, RotaryAttention):
        query, key = rotate(query, seen["attn_mask"]), rotate(key, seen["attn_mask"])
    return ((query * block.scale) @ key.transpose(-2, -1)).softmax(dim=-1)


def query_maps(network: HouseViT, card: Card, pixels: np.ndarray, queries: Sequence[tuple[int, int]], kind: str):
    """Maps of query pixels (x, y): ``softmax`` ``[queries, heads, h, w]`` float32, ``cosine`` ``[queries, 1, h, w]``.

    ``softmax`` are the last block's probabilities from the query's patch to every patch; the columns of class and
    register tokens are left out and the rest is *not* scaled up to sum to 1. ``cosine`` is the similarity of the
    network's final features.
    """
    if kind == "softmax" and not isinstance(network, HouseViT):
        raise InputError("a ResNet has no attention: leave its checkpoint out of Figure 4a, or ask for --kinds cosine")
    patch = card.architecture.patch_size
    grid = pixels.shape[0] // patch, pixels.shape[1] // patch
    places = [(y // patch) * grid[1] + x // patch for x, y in queries]
    if kind == "softmax":
        images = normalised(card, pixels).to(next(network.parameters()).device)
        weights, prefix = last_attention(network, images)[0], network.num_prefix_tokens
        found = weights[:, [prefix + place for place in places], prefix:].transpose(0, 1)
    else:
        unit = F.normalize(layers(network, card, pixels)[-1].tokens.double(), dim=-1)
        found = (unit[places] @ unit.T)[:, None].float()
    return found.unflatten(-1, grid).cpu().numpy()


def grid_queries(size: int, count: int) -> list[tuple[int, int]]:
    """``count x count`` pixels (x, y) in the middles of equal cells of a square, row by row."""
    middles = [int(size * (i + 0.5) / count) for i in range(count)]
    return [(x, y) for y in middles for x in middles]


def draw_figure4a(
    picture: Picture, queries: Sequence[tuple[int, int]], rows: dict[str, np.ndarray]
) -> tuple[Figure, dict[str, np.ndarray]]:
    """A column a query, marked by a green circle in the top row; then a row for each of ``rows``, ``[queries, h, w]``.

    Softmax maps run from 0 to their own largest value, cosine maps from -1 to 1; the lowest and the largest value
    stand below. Also the arrays to keep.
    """
    figure = Figure(figsize=(1.35 * len(queries) + 1.0, 1.5 * (len(rows) + 1)), layout="constrained")
    axes = figure.subplots(len(rows) + 1, len(queries), squeeze=False)
    for axis, (x, y) in zip(axes[0], queries, strict=True):
        axis.imshow(picture.pixels)
        side = len(picture.pixels)
        # White outside the green: visible on grass too.
        for colour, width in (("white", 4.0), ("#00b000", 2.0)):
            axis.plot(x, y, "o", markersize=11, markerfacecolor="none", markeredgecolor=colour, markeredgewidth=width)
        axis.set(xlim=(-0.5, side - 0.5), ylim=(side - 0.5, -0.5))
        panel(axis, f"query {x},{y}")
    axes[0, 0].set_ylabel("image", fontsize=8)
    for line, (label, maps) in zip(axes[1:], rows.items(), strict=True):
        for axis, values in zip(line, maps, strict=True):
            cosine = "cosine" in label
            scale = {"cmap": "cividis", "vmin": -1, "vmax": 1} if cosine else {"cmap": "inferno", "vmin": 0}
            axis.imshow(values, **scale)
            form = "{:.2f} .. {:.2f}" if cosine else "{:.4f} .. {:.4f}"
            panel(axis, below=form.format(values.min(), values.max()))
        line[0].set_ylabel(label, fontsize=8)
    arrays = {"image": picture.pixels, "queries": np.array(queries)}
    return figure, arrays | {label.replace("\n", "/"): maps for label, maps in rows.items()}


def write_figure4a(
    out: str | os.PathLike[str],
    checkpoints: Mapping[str, str | os.PathLike[str]],
    images: Sequence[str | os.PathLike[str]],
    queries: Sequence[tuple[int, int]] | int = 2,
    kinds: Sequence[str] = KINDS,
    single_heads: bool = False,
    size: int = 224,
    device: str = "auto",
) -> list[Path]:
    """Write ``out/figure4a-01-NAME.{png,svg,npz}`` for each image; return the paths.

    ``queries`` are pixels (x, y) of the original images, or a number n for a grid of n x n. ``single_heads`` adds a row
    for each head to the mean over heads.
    """
    networks = load_networks(checkpoints, device)
    written = []
    for number, path in enumerate(images, start=1):
        picture = read_picture(path, size)
        places = grid_queries(size, queries) if isinstance(queries, int) else [picture.locate(*q) for q in queries]
        rows = {}
        for name, (network, card) in networks.items():
            for kind in kinds:
                maps = query_maps(network, card, picture.pixels, places, kind)
                rows[f"{name}\n{kind}" + (", head mean" if kind == "softmax" else "")] = maps.mean(1)
                if single_heads and kind == "softmax":
                    rows |= {f"{name}\nsoftmax, head {head}": maps[:, head] for head in range(maps.shape[1])}
        drawn = draw_figure4a(picture, places, rows)
        written += save_figure(Path(out) / f"figure4a-{number:02d}-{picture.name}", *drawn)
    return written


def write_query_attention(
    path: str | os.PathLike[str],
    image: np.ndarray,
    query: tuple[int, int],
    networks: Mapping[str, tuple[HouseViT, Card]],
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
    for axis, (name, (network, card)) in zip(axes[1:], networks.items(), strict=True):
        axis.imshow(query_maps(network, card, image, [query], "softmax")[0].mean(0), cmap="viridis")
        axis.set_title(name, fontsize=9)
    for axis in axes:
        axis.set_axis_off()
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=120, format="png")
