"""What the network sees during training: where query tokens look, and how similar the tokens are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure

from benchmarks.files import atomic_path

#: Query patches, as fractions (x, y) of the image.
QUERIES = ((0.5, 0.5), (0.2, 0.2), (0.8, 0.7))


def aggregated_similarity(tokens: torch.Tensor) -> torch.Tensor:
    """ASS of section 5.5: the similarity maps of all tokens summed, over the largest sum. ``[N, D]`` -> ``[N]``."""
    unit = F.normalize(tokens.float(), dim=-1)
    total = (unit @ unit.T).sum(dim=0)
    return total / total.max()


def query_attention(tokens: torch.Tensor, query: int, temperature: float) -> torch.Tensor:
    """Eq. 4's attention of one token, the weights by which its mode is made: ``[N, D]`` -> ``[N]``."""
    tokens = tokens.float()
    return (temperature * tokens @ tokens[query]).softmax(dim=0)


def write_pictures(path: Path, images: list[np.ndarray], tokens: torch.Tensor, temperature: float, title: str) -> None:
    """Write a PNG with a row for each image: the image with its queries, their attention, the ASS map.

    ``images``: RGB uint8 ``[S, S, 3]``; ``tokens`` ``[B, N, D]`` of a square grid.
    """
    side = round(tokens.shape[1] ** 0.5)
    figure = Figure(figsize=(2.2 * (len(QUERIES) + 2), 2.2 * len(images) + 0.3), layout="constrained")
    axes = figure.subplots(len(images), len(QUERIES) + 2, squeeze=False)
    for row, image, features in zip(axes, images, tokens.cpu(), strict=True):
        row[0].imshow(image)
        for number, (x, y) in enumerate(QUERIES, start=1):
            row[0].plot(x * image.shape[1], y * image.shape[0], "o", color="lime", markeredgecolor="black")
            row[0].text(x * image.shape[1], y * image.shape[0], f" {number}", color="lime")
            attention = query_attention(features, int(y * side) * side + int(x * side), temperature)
            row[number].imshow(attention.view(side, side).numpy())
            row[number].set_title(f"attention of {number}", fontsize=8)
        row[-1].imshow(aggregated_similarity(features).view(side, side).numpy(), cmap="inferno")
        row[-1].set_title("ASS", fontsize=8)
    for axis in axes.flat:
        axis.set_axis_off()
    figure.suptitle(title, fontsize=9)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=90, format="png")
