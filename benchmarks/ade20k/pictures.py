"""To look at: validation images, their ground truth and each checkpoint's prediction, in ADE20K's colours."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from benchmarks.ade20k.dataset import Ade20kRoot
from benchmarks.files import atomic_path
from benchmarks.images import read_labels, read_rgb


def write_predictions(
    path: str | os.PathLike[str],
    data: Ade20kRoot,
    predictions: dict[str, Path],
    palette: Sequence[Sequence[int]],
    count: int = 4,
    named: int = 24,
) -> None:
    """Write a PNG: a row for each of ``count`` images: its truth, then the label map of each of ``predictions``.

    Below are the names of the classes with the most pixels, at most ``named``. Black is unlabelled.
    """
    stems = data.stems["validation"][:count]
    colours = np.array([[0, 0, 0], *palette], np.uint8)
    titles = ["image", "ground truth", *predictions]
    pixels = np.zeros(len(colours), np.int64)
    figure = Figure(figsize=(2.6 * len(titles), 2.1 * len(stems) + 0.9), layout="constrained")
    axes = figure.subplots(len(stems), len(titles), squeeze=False)
    for row, stem in zip(axes, stems, strict=True):
        panels = [read_rgb(data.image("validation", stem))]
        found = [read_labels(folder / f"{stem}.png") + 1 - data.first_label for folder in predictions.values()]
        for labels in (data.truth("validation", stem), *found):
            pixels += np.bincount(labels.ravel(), minlength=len(colours))
            panels.append(colours[labels])
        for axis, panel in zip(row, panels, strict=True):
            axis.imshow(panel)
            axis.set_axis_off()
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize=9)
    pixels[0] = 0
    shown = [int(label) for label in np.argsort(-pixels, kind="stable")[:named] if pixels[label]]
    handles = [Patch(color=colours[label] / 255, label=data.classes[label - 1]) for label in shown]
    figure.legend(handles=handles, loc="outside lower center", ncols=max(1, 2 * len(titles)), fontsize=7)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png")
