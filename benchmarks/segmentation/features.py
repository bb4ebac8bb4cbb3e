"""The frozen network's features of many images, in batches of one size."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.core.model import Model
from benchmarks.images import read_labels, read_rgb
from benchmarks.progress import Progress
from benchmarks.segmentation.dataset import Pair

#: Images in a batch.
BATCH = 8

#: A pair -> what the network sees, uint8 ``[h, w, 3]``, and the label map that goes with it.
View = Callable[[Pair], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Batch:
    """Some pairs with the features of their views fp32 ``[B, h, w, D]`` (on the network's device) and label maps."""

    pairs: tuple[Pair, ...]
    features: torch.Tensor
    labels: tuple[np.ndarray, ...]
    views: tuple[np.ndarray, ...]


def read(pair: Pair) -> tuple[np.ndarray, np.ndarray]:
    """A pair's image uint8 ``[H, W, 3]`` and label map uint8 ``[H, W]``."""
    return read_rgb(pair.image), read_labels(pair.mask).astype(np.uint8)


def batches(
    model: Model,
    pairs: Sequence[Pair],
    view: View,
    what: str = "features",
    device: torch.device | str = "cpu",
    progress: bool = False,
    layers: Sequence[int] | None = None,
    norm: bool = True,
) -> Iterator[Batch]:
    """The features of ``pairs`` in their order, images of one size together; ``layers`` are concatenated."""
    waiting: list[tuple[Pair, np.ndarray, np.ndarray]] = []
    for pair in Progress(pairs, desc=what, unit="image", disable=not progress, leave=False):
        item = (pair, *view(pair))
        if waiting and (len(waiting) == BATCH or waiting[0][1].shape != item[1].shape):
            yield _batch(model, waiting, device, layers, norm)
            waiting = []
        waiting.append(item)
    if waiting:
        yield _batch(model, waiting, device, layers, norm)


def _batch(
    model: Model,
    items: list[tuple[Pair, np.ndarray, np.ndarray]],
    device: torch.device | str,
    layers: Sequence[int] | None,
    norm: bool,
) -> Batch:
    pixels = torch.stack([model.normalise(image) for _, image, _ in items]).to(device)
    maps = model.features(pixels, layers, norm)
    found = torch.cat([one.float() for one in maps], dim=-1)
    return Batch(
        tuple(pair for pair, _, _ in items),
        found,
        tuple(labels for *_, labels in items),
        tuple(image for _, image, _ in items),
    )


def examples(pairs: Sequence[Pair], count: int = 4) -> set[str]:
    """The names of ``count`` pairs to draw, spread over all."""
    return {pair.name for pair in pairs[:: max(1, len(pairs) // count)][:count]}


def file_name(pair: Pair) -> str:
    """A pair's name as that of a file in one folder."""
    return Path(pair.name).as_posix().replace("/", "__")
