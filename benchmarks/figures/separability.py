"""The mean-shift reading of the paper as numbers: are tokens of one segment closer to each other than to the rest?

Notation of the paper, section 4.1: unit tokens ``z_i``, the indices ``c_i`` of the segment of i (i included), ``N``
tokens, ``p(z_j | z_i) = softmax_j(tau z_i Z)``, and the separability
``Delta_ij = z_i z_j - max over k outside c_i of z_i z_k``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure

from benchmarks.errors import InputError
from benchmarks.figures.sheet import COLOURS, MARKS, save_figure
from benchmarks.figures.similarity import load_networks
from benchmarks.figures.sources import UNLABELLED, layers, pair, read_picture, segments_of

#: Sharpness of the kernel that finds clusters where no label map says what they are; on unit vectors.
CLUSTER_TAU = 30.0
#: Mean-shift steps, and how similar two modes are that are one.
STEPS, SAME_MODE = 30, 0.98

#: Heading of each number -> what it is.
NUMBERS = {
    "intra": "mean similarity of two tokens of one segment",
    "inter": "mean similarity of two tokens of different segments",
    "delta": "mean Delta_ij over all pairs i, j of one segment",
    "separated": "share of those pairs with Delta_ij > 0",
    "p": "mean p(z_j | z_i) over those pairs",
    "bound": "mean lower bound of p(z_j | z_i) by Eq. 7",
    "mass": "mean probability that falls into the token's own segment",
    "silhouette": "mean silhouette of the tokens, by cosine distance",
    "segments": "mean number of segments in an image",
}


def published_tau(dim: int) -> float:
    """FLSL's temperature for unit vectors: ``0.1 / sqrt(D)`` times layer-normed tokens, whose length is ``sqrt(D)``.

    Source: ISL-CV/FLSL @ acb5d6f, self-attention temperature.
    """
    return 0.1 * dim**0.5


def separability(tokens: torch.Tensor, segments: np.ndarray, tau: float) -> dict[str, float] | None:
    """Tokens ``[N, D]`` and their segments ``[N]`` -> the :data:`NUMBERS`; None with fewer than two segments.

    Pairs i = j are left out of ``intra`` and part of everything else, as in Eq. 7. In fp64; ``N x N`` memory.
    """
    index = torch.from_numpy(np.unique(segments, return_inverse=True)[1])
    count = int(index.max()) + 1
    if count < 2:
        return None
    unit = F.normalize(tokens.double(), dim=-1)
    similar = unit @ unit.T
    own = index[:, None] == index[None]
    outside = similar.masked_fill(own, -torch.inf).amax(1, keepdim=True)
    delta = similar - outside
    probability = (tau * similar).softmax(1)
    pairs = own & ~torch.eye(len(own), dtype=torch.bool)
    return {
        "intra": similar[pairs].mean().item() if pairs.any() else 1.0,
        "inter": similar[~own].mean().item(),
        "delta": delta[own].mean().item(),
        "separated": (delta[own] > 0).double().mean().item(),
        "p": probability[own].mean().item(),
        "bound": bound(similar, own, tau)[own].mean().item(),
        "mass": (probability * own).sum(1).mean().item(),
        "silhouette": silhouette(unit, index).mean().item(),
        "segments": float(count),
    }


def bound(similar: torch.Tensor, own: torch.Tensor, tau: float) -> torch.Tensor:
    """The right side of Eq. 7 for every pair: similarities and membership ``[N, N]`` -> ``[N, N]``.

    ``1 / (sum_{k in c_i} exp(tau (z_i z_k - z_i z_j)) + (N - |c_i|) exp(-tau Delta_ij))``; of use where ``own``.
    """
    inside = (tau * similar).masked_fill(~own, -torch.inf).logsumexp(1, keepdim=True)
    outside = tau * similar.masked_fill(own, -torch.inf).amax(1, keepdim=True) + (~own).sum(1, keepdim=True).log()
    return (tau * similar - torch.logaddexp(inside, outside)).exp()


def silhouette(unit: torch.Tensor, segments: torch.Tensor) -> torch.Tensor:
    """Unit tokens ``[N, D]``, segments 0, 1, .. ``[N]`` -> each token's silhouette ``[N]`` by cosine distance.

    (b - a) / max(a, b), with a the mean distance to the own segment and b to the nearest other; 0 for a segment of one
    token. The mean distance to a segment needs its sum alone.
    """
    member = F.one_hot(segments).to(unit.dtype)  # [N, C]
    sizes = member.sum(0)
    distance = 1 - unit @ (member.T @ unit).T / sizes  # [N, C]: the mean, the own zero included
    own = member.bool()
    n = sizes[segments]
    a = distance[own] * n / (n - 1).clamp(min=1)
    b = distance.masked_fill(own, torch.inf).amin(1)
    return torch.where(n > 1, (b - a) / torch.maximum(a, b).clamp(min=1e-12), 0.0)


def mean_shift_segments(tokens: torch.Tensor, tau: float = CLUSTER_TAU) -> np.ndarray:
    """Clusters of tokens ``[N, D]`` by mean-shift on the unit sphere (Eq. 4): int64 ``[N]``.

    Every token climbs ``z <- softmax(tau z Z) Z``, normalised, for :data:`STEPS` steps; tokens whose modes are more
    similar than :data:`SAME_MODE`, directly or through others, are one cluster.
    """
    unit = F.normalize(tokens.double(), dim=-1)
    modes = unit
    for _ in range(STEPS):
        modes = F.normalize((tau * modes @ unit.T).softmax(1) @ unit, dim=-1)
    near = modes @ modes.T > SAME_MODE
    found = torch.full((len(modes),), -1)
    for index in range(len(modes)):
        if found[index] >= 0:
            continue
        reached = near[index]
        while (grown := near[reached].any(0)).sum() > reached.sum():
            reached = grown
        found[reached] = found.max() + 1
    return found.numpy()


def measure(
    checkpoints: Mapping[str, str | os.PathLike[str]],
    images: Sequence[str | os.PathLike[str]],
    labels: Sequence[str | os.PathLike[str]] | None = None,
    tau: float | None = None,
    unlabelled: Sequence[int] = UNLABELLED,
    size: int = 224,
    device: str = "auto",
) -> dict[str, list[dict[str, Any]]]:
    """Checkpoint -> for each layer its name and the :data:`NUMBERS`, means over images. One image is held at a time.

    Segments are those of ``labels`` (tokens whose most frequent label is one of ``unlabelled`` are left out), or the
    mean-shift clusters of the layer itself. ``tau`` None: :func:`published_tau`. An image with fewer than two segments
    says nothing and is not counted; a layer without any image has NaN.
    """
    networks = load_networks(checkpoints, device)
    found: dict[str, list[tuple[str, list[dict[str, float]]]]] = {name: [] for name in networks}
    for image, mask in pair(images, labels):
        picture = read_picture(image, size, mask)
        for name, (network, card) in networks.items():
            for place, layer in enumerate(layers(network, card, picture.pixels)):
                if place == len(found[name]):
                    found[name].append((layer.name, []))
                tokens = layer.tokens
                if picture.labels is None:
                    segments = mean_shift_segments(tokens)
                else:
                    segments = segments_of(picture.labels, layer.grid)
                    keep = ~np.isin(segments, unlabelled)
                    tokens, segments = tokens[torch.from_numpy(keep)], segments[keep]
                if len(segments):
                    numbers = separability(tokens, segments, tau or published_tau(tokens.shape[1]))
                    if numbers is not None:
                        found[name][place][1].append(numbers)
    if labels is not None and not any(per_image for rows in found.values() for _, per_image in rows):
        raise InputError("no label map has two segments in its central square: nothing can be separated there")
    return {
        name: [{"layer": layer, "images": len(each), **_means(each)} for layer, each in rows]
        for name, rows in found.items()
    }


def _means(numbers: list[dict[str, float]]) -> dict[str, float]:
    return {key: float(np.mean([one[key] for one in numbers])) if numbers else float("nan") for key in NUMBERS}


def table(found: dict[str, list[dict[str, Any]]]) -> str:
    """The numbers for a terminal, a block a checkpoint."""
    lines = []
    for name, rows in found.items():
        lines += [f"{name}", f"{'layer':>8}" + "".join(f"{key:>11}" for key in NUMBERS) + f"{'images':>8}"]
        for row in rows:
            lines.append(f"{row['layer']:>8}" + "".join(f"{row[k]:>11.4f}" for k in NUMBERS) + f"{row['images']:>8}")
    return "\n".join([*lines, *(f"{key}: {meaning}" for key, meaning in NUMBERS.items())])


def write_separability(out: str | os.PathLike[str], found: dict[str, list[dict[str, Any]]]) -> list[Path]:
    """Write ``out/separability.{png,svg,npz}``: similarity, Delta and silhouette by layer, a line a checkpoint."""
    figure = Figure(figsize=(11, 3.4), layout="constrained")
    axes = figure.subplots(1, 3)
    titles = (
        "similarity within segments (solid)\nand between them (dashed)",
        "Delta of Eq. 7, mean",
        "silhouette, mean",
    )
    for index, (name, rows) in enumerate(found.items()):
        colour, mark = COLOURS[index % len(COLOURS)], MARKS[index % len(MARKS)]
        places = range(len(rows))
        for axis, keys in zip(axes, (("intra", "inter"), ("delta",), ("silhouette",)), strict=True):
            for key, style in zip(keys, ("-", "--"), strict=False):
                label = name if key != "inter" else None
                axis.plot(places, [row[key] for row in rows], style, marker=mark, color=colour, ms=4, label=label)
    longest = max(found.values(), key=len)
    for axis, title in zip(axes, titles, strict=True):
        axis.set_title(title, fontsize=9)
        axis.set_xticks(range(len(longest)), [row["layer"] for row in longest], fontsize=7)
        axis.set_xlabel("layer", fontsize=8)
        axis.tick_params(axis="y", labelsize=7)
        axis.grid(alpha=0.3)
    axes[0].legend(fontsize=8)
    arrays = {f"{name}/{key}": np.array([row[key] for row in rows]) for name, rows in found.items() for key in NUMBERS}
    return save_figure(Path(out) / "separability", figure, arrays)
