"""Figure 4b: the dense tokens of each layer in two dimensions by t-SNE, with a number beside the picture."""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure

from benchmarks.errors import InputError
from benchmarks.figures.separability import silhouette
from benchmarks.figures.sheet import COLOURS, MARKS, panel, save_figure
from benchmarks.figures.similarity import chosen_layers, load_networks
from benchmarks.figures.sources import UNLABELLED, layers, pair, read_picture, segments_of
from benchmarks.progress import Progress

WANTED = "scikit-learn==1.9.1"


def require_sklearn() -> None:
    """:class:`InputError` where scikit-learn is missing."""
    try:
        import sklearn.manifold  # noqa: F401
    except ImportError as error:
        raise InputError(f"t-SNE needs scikit-learn ({error}): pip install {WANTED}") from error


def embed(tokens: np.ndarray, perplexity: float, seed: int) -> np.ndarray:
    """t-SNE by cosine distance: ``[N, D]`` -> float32 ``[N, 2]``; a function of its arguments on one machine."""
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    if not 0 < perplexity < len(tokens):
        raise InputError(f"--perplexity {perplexity:g} needs more than that many tokens, and there are {len(tokens)}")
    # Unit vectors: their Euclidean order is that of the cosine, and the neighbour search is faster.
    unit = tokens / np.linalg.norm(tokens, axis=1, keepdims=True).clip(1e-12)
    method = TSNE(perplexity=perplexity, random_state=seed, init="pca", learning_rate="auto")
    # With several threads its sums depend on their number, and on busy cores they wait for each other.
    with threadpool_limits(1):
        return method.fit_transform(unit)


def write_figure4b(
    out: str | os.PathLike[str],
    checkpoints: Mapping[str, str | os.PathLike[str]],
    images: Sequence[str | os.PathLike[str]],
    labels: Sequence[str | os.PathLike[str]] | None = None,
    chosen: Sequence[int] | None = None,
    tokens: int = 800,
    perplexity: float = 30.0,
    seed: int = 0,
    names: dict[int, str] | None = None,
    unlabelled: Sequence[int] = UNLABELLED,
    size: int = 224,
    device: str = "auto",
    progress: bool = True,
) -> tuple[list[Path], dict[str, list[dict[str, Any]]]]:
    """Write ``out/figure4b.{png,svg,npz}``, a row a checkpoint, a column a layer; return the paths and the numbers.

    ``tokens`` are drawn by ``seed`` in equal parts from all images, so memory does not grow with their number. Colour
    is the segment of ``labels`` (``names`` says what they are; ``unlabelled`` ones are grey) or, without, the image.
    The number of each layer is the silhouette of the coloured groups in the layer's own space, not in the plane.
    """
    require_sklearn()
    networks = load_networks(checkpoints, device)
    share = tokens // len(images)
    if share < 2:
        raise InputError(f"{tokens} tokens for {len(images)} images: give more with --tokens")
    gathered: dict[str, dict[str, list[torch.Tensor]]] = {name: {} for name in networks}
    groups: dict[str, dict[str, list[np.ndarray]]] = {name: {} for name in networks}
    for number, (image, mask) in enumerate(pair(images, labels)):
        picture = read_picture(image, size, mask)
        for name, (network, card) in networks.items():
            for layer in chosen_layers(layers(network, card, picture.pixels), chosen, name):
                rng = np.random.default_rng((seed, number, len(layer.tokens)))
                picked = np.sort(rng.permutation(len(layer.tokens))[:share])
                # A copy: a view would keep the whole layer.
                gathered[name].setdefault(layer.name, []).append(layer.tokens[picked].clone())
                group: np.ndarray = np.full(len(layer.tokens), number)
                if picture.labels is not None:
                    group = segments_of(picture.labels, layer.grid)
                groups[name].setdefault(layer.name, []).append(group[picked])
    arrays = {"seed": np.array(seed), "perplexity": np.array(perplexity)}
    rows: dict[str, list[tuple[str, np.ndarray, np.ndarray, float]]] = {name: [] for name in networks}
    numbers: dict[str, list[dict[str, Any]]] = {name: [] for name in networks}
    bar = Progress(total=sum(map(len, gathered.values())), desc="t-SNE", unit="layer", disable=not progress)
    for name, by_layer in gathered.items():
        for own, parts in by_layer.items():
            vectors, group = torch.cat(parts), np.concatenate(groups[name][own])
            points = embed(vectors.numpy(), perplexity, seed)
            bar.update()
            keep = np.ones(len(group), bool) if labels is None else ~np.isin(group, unlabelled)
            score = _silhouette(vectors[torch.from_numpy(keep)], group[keep])
            rows[name].append((own, points, np.where(keep, group, -1), score))
            numbers[name].append({"layer": own, "silhouette": score, "tokens": len(group)})
            arrays |= {f"{name}/{own}/points": points, f"{name}/{own}/group": group}
    bar.close()
    if labels is None:
        names = {number: Path(image).stem for number, image in enumerate(images)}
    figure = draw_figure4b(rows, names or {}, "segment" if labels is not None else "image")
    return save_figure(Path(out) / "figure4b", figure, arrays), numbers


def _silhouette(vectors: torch.Tensor, group: np.ndarray) -> float:
    """The mean silhouette by cosine distance; NaN with fewer than two groups."""
    found, index = np.unique(group, return_inverse=True)
    if len(found) < 2:
        return float("nan")
    return silhouette(F.normalize(vectors.double(), dim=-1), torch.from_numpy(index)).mean().item()


def draw_figure4b(
    rows: dict[str, list[tuple[str, np.ndarray, np.ndarray, float]]], names: dict[int, str], coloured_by: str
) -> Figure:
    """``rows``: checkpoint -> (layer, points ``[N, 2]``, groups ``[N]`` with -1 for none, silhouette)."""
    columns = max(map(len, rows.values()))
    everything = np.concatenate([group for row in rows.values() for _, _, group, _ in row])
    found, counts = np.unique(everything[everything >= 0], return_counts=True)
    order = found[np.argsort(-counts, kind="stable")]
    # The legend goes below, in as many lines as its entries need.
    entries = min(len(order), len(COLOURS) * len(MARKS))
    per_line = max(1, min(entries, int(1.55 * columns)))
    lines = -(-entries // per_line)
    figure = Figure(figsize=(max(4.0, 1.9 * columns), 2.1 * len(rows) + 0.45 + 0.19 * lines), layout="constrained")
    axes = figure.subplots(len(rows), columns, squeeze=False)
    handles: dict[int, Any] = {}
    for line, (name, panels) in zip(axes, rows.items(), strict=True):
        for axis in line:
            panel(axis)
        line[0].set_ylabel(name, fontsize=8)
        for axis, (layer, points, group, score) in zip(line, panels, strict=False):
            grey = axis.scatter(*points[group < 0].T, s=5, c="0.8", linewidths=0)
            for rank, value in enumerate(order):
                colour = COLOURS[rank % len(COLOURS)]
                mark = MARKS[rank // len(COLOURS) % len(MARKS)]
                drawn = axis.scatter(*points[group == value].T, s=7, c=colour, marker=mark, linewidths=0)
                handles.setdefault(int(value), drawn)
            panel(axis, f"l = {layer}" if layer.isdecimal() else layer, f"silhouette {score:.3f}")
            axis.set_aspect("equal", "datalim")
    legend = [(handles[int(value)], names.get(int(value), f"{coloured_by} {value}")) for value in order[:entries]]
    if (everything < 0).any():
        legend.append((grey, "unlabelled"))
    figure.legend(
        *zip(*legend, strict=True),
        loc="outside lower center",
        ncols=per_line,
        fontsize=7,
        markerscale=2.0,
        title=f"colour: {coloured_by}",
        title_fontsize=7,
    )
    return figure


def library() -> str:
    """Which scikit-learn draws, for the record."""
    return f"scikit-learn {importlib.metadata.version('scikit-learn')}"
