"""To look at: predictions beside the truth, the principal components of the features, and IoU by class."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from PIL import Image

from benchmarks.davis.predictions import voc_palette
from benchmarks.files import atomic_path
from benchmarks.images import read_labels
from benchmarks.segmentation.dataset import Pair, SegmentationData
from benchmarks.segmentation.faults import VOID
from benchmarks.segmentation.features import examples, file_name, read
from benchmarks.segmentation.geometry import resize, resize_labels

#: Where a run leaves what is drawn.
FOLDER = "examples"

#: Characters in a line of a column's title.
TITLE = 26


@dataclass
class Examples:
    """Some validation images' predictions and features, kept while a run passes them."""

    names: set[str]
    folder: Path
    features: dict[str, torch.Tensor] = field(default_factory=dict)

    @staticmethod
    def of(pairs: Sequence[Pair], folder: Path) -> Examples:
        """Those spread over ``pairs``."""
        return Examples(examples(pairs), folder / FOLDER)

    def keep(self, pair: Pair, predicted: np.ndarray, features: torch.Tensor) -> None:
        """Keep a label map and features ``[h, w, D]`` if ``pair`` is one of these."""
        if pair.name in self.names:
            _save(self.folder / f"{file_name(pair)}.png", predicted)
            self.features[file_name(pair)] = features.cpu()

    def end(self) -> None:
        """Write the principal components of what was kept, of each image alone and of all together."""
        if not self.features:
            return
        together = components(list(self.features.values()))
        for (name, features), colours in zip(self.features.items(), together, strict=True):
            _save(self.folder / f"{name}-pca.png", components([features])[0])
            _save(self.folder / f"{name}-pca-set.png", colours)


def components(maps: Sequence[torch.Tensor]) -> list[np.ndarray]:
    """Maps of features ``[h, w, D]`` -> colours uint8 ``[h, w, 3]``: their first three principal components together.

    As DINOv2 shows them, each component brought to 0..255 over all maps. Signs are such that the largest part of each
    component is positive.
    """
    rows = torch.cat([one.flatten(0, 1) for one in maps]).double()
    rows -= rows.mean(0)
    _, axes = torch.linalg.eigh(rows.T @ rows)
    axes = axes[:, -3:].flip(1)
    axes = axes * axes.gather(0, axes.abs().argmax(0, keepdim=True)).sign()
    found = rows @ axes
    low, high = found.amin(0), found.amax(0)
    colours = (255 * (found - low) / (high - low).clamp(min=1e-12)).round().byte()
    if colours.shape[1] < 3:  # a network with fewer features than that
        colours = torch.cat([colours, colours.new_zeros(len(colours), 3 - colours.shape[1])], dim=1)
    parts = colours.split([one.shape[0] * one.shape[1] for one in maps])
    return [part.reshape(*one.shape[:2], 3).numpy() for part, one in zip(parts, maps, strict=True)]


def write_predictions(path: str | os.PathLike[str], data: SegmentationData, runs: Mapping[str, Path]) -> None:
    """A PNG: a row for each example: image, truth, then each run's prediction and principal components."""
    palette = voc_palette()
    palette[VOID] = (255, 255, 255)
    chosen = [pair for pair in data.val if pair.name in examples(data.val)]
    named = ["\n".join(textwrap.wrap(label, TITLE)) for label in runs]
    titles = ["image", "truth", *(f"{one}{what}" for one in named for what in ("", "\nPCA of it", "\nPCA of these"))]
    figure = Figure(figsize=(2.4 * len(titles), 2.0 * len(chosen) + 0.9), layout="constrained")
    axes = figure.subplots(len(chosen), len(titles), squeeze=False)
    seen: set[int] = set()
    for line, pair in zip(axes, chosen, strict=True):
        image, truth = read(pair)
        panels = []
        for folder in runs.values():
            stem = folder / FOLDER / file_name(pair)
            predicted = read_labels(f"{stem}.png")
            image, truth = resize(image, predicted.shape), resize_labels(truth, predicted.shape)
            seen |= set(np.unique(predicted).tolist())
            panels.append(palette[predicted])
            for what in ("pca", "pca-set"):
                with Image.open(f"{stem}-{what}.png") as colours:
                    panels.append(np.asarray(colours))
        seen |= set(np.unique(truth).tolist())
        for axis, panel in zip(line, [image, palette[truth], *panels], strict=True):
            axis.imshow(panel, interpolation="nearest")
            axis.set_axis_off()
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize=8)
    names = {**dict(enumerate(data.classes)), VOID: "void"}
    handles = [Patch(fc=palette[label] / 255, ec="0.6", label=names[label]) for label in sorted(seen) if label in names]
    figure.legend(handles=handles, loc="outside lower center", ncols=max(1, 2 * len(titles)), fontsize=7)
    _write(path, figure)


def write_classes(
    path: str | os.PathLike[str], classes: Sequence[str], runs: Mapping[str, Mapping[str, float | None]]
) -> None:
    """A PNG: the IoU of each class in percent, a mark for each run (label -> class -> IoU, None without a score)."""
    figure = Figure(figsize=(6.5, 0.8 + 0.24 * (len(classes) + len(runs))), layout="constrained")
    axis = figure.subplots()
    best = {name: max((one.get(name) or 0.0 for one in runs.values()), default=0.0) for name in classes}
    order = sorted(classes, key=lambda name: best[name])
    for number, (label, values) in enumerate(runs.items()):
        known = [(values[name], place) for place, name in enumerate(order) if values.get(name) is not None]
        places = tuple(zip(*known, strict=True)) or ((), ())
        axis.plot(*places, "osD^v"[number % 5], label=label, markersize=5, clip_on=False, zorder=3)
    axis.set_yticks(range(len(order)), order, fontsize=7)
    axis.set_xlim(0, 100)
    axis.set_ylim(-0.5, len(order) - 0.5)
    axis.set_xlabel("IoU, percent")
    axis.grid(axis="x", alpha=0.4)
    figure.legend(loc="outside upper left", fontsize=8)
    _write(path, figure)


def _save(path: Path, pixels: np.ndarray) -> None:
    with atomic_path(path) as temporary:
        Image.fromarray(pixels).save(temporary, format="PNG")


def _write(path: str | os.PathLike[str], figure: Figure) -> None:
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png")
