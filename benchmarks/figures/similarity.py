"""Figure 3: the aggregated similarity score (ASS) of every token, layer by layer."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure

from benchmarks.backbones import load_backbone
from benchmarks.devices import usable_device
from benchmarks.errors import InputError
from benchmarks.figures.sheet import panel, save_figure
from benchmarks.figures.sources import Layer, Picture, layers, read_picture


def aggregated_similarity(tokens: torch.Tensor) -> torch.Tensor:
    """Tokens ``[N, D]`` -> scores ``[N]``: ``sum_i cos(z_i, z_j)``, the own term 1 included, over the largest.

    The cosine of a token with all others is its product with the sum of the unit vectors, so neither the ``N x N``
    similarities nor their time is spent. In fp64. Source: the paper, section 5.5. Negative sums stay negative.
    """
    unit = F.normalize(tokens.double(), dim=-1)
    score = unit @ unit.sum(0)
    return score / score.max()


def draw_figure3(
    picture: Picture, maps: dict[str, list[tuple[str, np.ndarray]]], stretch: bool = False
) -> tuple[Figure, dict[str, np.ndarray]]:
    """A row a checkpoint, a column a layer; ``maps`` are (layer name, scores ``[h, w]``). Also the arrays to keep.

    All maps share the scale 0 to 1; with ``stretch`` each has its own, from its lowest score to 1. Below each is its
    lowest score.
    """
    columns = 1 + max(map(len, maps.values()))
    figure = Figure(figsize=(1.1 * columns + 0.9, 1.45 * len(maps) + 0.25), layout="constrained")
    axes = figure.subplots(len(maps), columns, squeeze=False)
    arrays = {"image": picture.pixels}
    for row, (name, scores) in zip(axes, maps.items(), strict=True):
        for axis in row:
            panel(axis)
        row[0].imshow(picture.pixels)
        panel(row[0], picture.name if len(picture.name) <= 16 else "…" + picture.name[-15:])
        row[0].set_ylabel(name, fontsize=8)
        for axis, (layer, score) in zip(row[1:], scores, strict=False):
            low = float(score.min())
            drawn = axis.imshow(score, cmap="inferno", vmin=low if stretch else 0.0, vmax=1.0)
            panel(axis, f"l = {layer}" if layer.isdecimal() else layer, f"min {low:.2f}")
            arrays[f"{name}/{layer}"] = score
    if not stretch:
        bar = figure.colorbar(drawn, ax=axes, fraction=0.015, pad=0.01)
        bar.set_label("score / largest", fontsize=7)
        bar.ax.tick_params(labelsize=7)
    return figure, arrays


def write_figure3(
    out: str | os.PathLike[str],
    checkpoints: Mapping[str, str | os.PathLike[str]],
    images: Sequence[str | os.PathLike[str]],
    size: int = 224,
    chosen: Sequence[int] | None = None,
    stretch: bool = False,
    device: str = "auto",
) -> list[Path]:
    """Write ``out/figure3-01-NAME.{png,svg,npz}`` for each image, its checkpoints below each other; return the paths.

    ``chosen`` are layers by their place (default: all). One image is held at a time.
    """
    networks = load_networks(checkpoints, device)
    written = []
    for number, path in enumerate(images, start=1):
        picture = read_picture(path, size)
        maps = {}
        for name, (network, card) in networks.items():
            found = chosen_layers(layers(network, card, picture.pixels), chosen, name)
            maps[name] = [(one.name, aggregated_similarity(one.tokens).view(one.grid).numpy()) for one in found]
        written += save_figure(
            Path(out) / f"figure3-{number:02d}-{picture.name}", *draw_figure3(picture, maps, stretch)
        )
    return written


def load_networks(checkpoints: Mapping[str, str | os.PathLike[str]], device: str = "auto") -> dict:
    """Name -> (network in eval mode on ``device``, card)."""
    loaded = {name: load_backbone(path) for name, path in checkpoints.items()}
    return {name: (network.to(usable_device(device)), card) for name, (network, card) in loaded.items()}


def chosen_layers(found: list[Layer], chosen: Sequence[int] | None, name: str) -> list[Layer]:
    """The layers at the places ``chosen``, all without; :class:`InputError` for a place that is not there."""
    if chosen is None:
        return found
    for place in chosen:
        if not -len(found) <= place < len(found):
            raise InputError(f"{name} has layers 0 to {len(found) - 1}, not {place}: choose others with --layers")
    return [found[place] for place in chosen]
