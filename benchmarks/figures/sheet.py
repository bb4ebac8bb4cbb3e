"""How a figure leaves the house: PNG for screens, SVG for papers, and its numbers as ``.npz``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from benchmarks.files import atomic_path

#: Okabe and Ito's colours without the yellow, which is too pale for thin marks: told apart with any colour vision.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000")
#: Where colours run out, the mark changes.
MARKS = ("o", "s", "^", "D", "v", "P", "X", "*")


def save_figure(stem: str | os.PathLike[str], figure: Figure, arrays: Mapping[str, np.ndarray]) -> list[Path]:
    """Write ``stem.png``, ``stem.svg`` and ``stem.npz``, each atomically; the same input gives the same bytes."""
    paths = [Path(f"{stem}{suffix}") for suffix in (".png", ".svg", ".npz")]
    with matplotlib.rc_context({"svg.hashsalt": "figures", "svg.fonttype": "path"}):
        kinds: tuple[dict[str, Any], ...] = ({"dpi": 150}, {"metadata": {"Date": None}})
        for path, options in zip(paths[:2], kinds, strict=True):
            with atomic_path(path) as temporary:
                figure.savefig(temporary, format=path.suffix[1:], **options)
    with atomic_path(paths[2]) as temporary:
        np.savez_compressed(temporary, **arrays)  # type: ignore[arg-type]  # numpy's own option is not among them
    return paths


def panel(axis, title: str = "", below: str = "") -> None:
    """A picture's axis: no ticks, a title above, a word below."""
    axis.set_xticks([])
    axis.set_yticks([])
    for spine in axis.spines.values():
        spine.set_visible(False)
    axis.set_title(title, fontsize=8)
    axis.set_xlabel(below, fontsize=7, labelpad=2)
