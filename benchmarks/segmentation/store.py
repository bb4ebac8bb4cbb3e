"""Every token of the training images, kept image by image, and validation images in groups that search together."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.knn.bank import Bank, BankWriter, MemoryBank
from benchmarks.segmentation import geometry
from benchmarks.segmentation.features import Batch
from benchmarks.segmentation.views import stacked

#: Bytes of features up to which a bank stays in memory.
IN_MEMORY = 1 << 30

#: Queries that meet the whole bank at once: each such pass reads it.
QUERIES = 1 << 16


@dataclass(frozen=True)
class Store:
    """Every token of the training images as the network gives it, image by image, with the labels of its pixels."""

    bank: Bank
    cells: np.ndarray  # uint8 [images, tokens, pixels]
    tokens: int
    folder: Path | None

    @staticmethod
    def of(found: Iterator[Batch], images: int, patch: int, folder: Path) -> Store:
        """What ``found`` brings of so many images, all of one size; on disk where it is much."""
        parts: list[torch.Tensor] = []
        cells: list[torch.Tensor] = []
        writer: BankWriter | None = None
        tokens = 0
        for batch in found:
            tokens, width = batch.features.shape[1] * batch.features.shape[2], batch.features.shape[3]
            if writer is None and tokens * width * 4 * images > IN_MEMORY:
                writer = BankWriter(tokens * images, width, "fp32", folder / "raw.features").__enter__()
            flat = batch.features.flatten(0, 2).cpu()
            if writer:
                writer.append(flat, torch.zeros(len(flat), dtype=torch.long))
            else:
                parts.append(flat)
            cells.append(geometry.patches(stacked(batch.labels), patch))
        if writer is None:
            features = torch.cat(parts)
            bank: Bank = MemoryBank(features, torch.zeros(len(features), dtype=torch.long))
        else:
            writer.__exit__(None, None, None)
            bank = writer.bank()
        return Store(bank, torch.cat(cells).numpy(), tokens, folder if writer else None)

    def features(self, image: int) -> torch.Tensor:
        """An image's features fp32 ``[tokens, D]``."""
        return self.bank._read(image * self.tokens, self.tokens).float()

    def labels(self, image: int) -> np.ndarray:
        """An image's label map, square."""
        side = int(self.tokens**0.5) * (patch := int(self.cells.shape[2] ** 0.5))
        return geometry.from_patches(torch.from_numpy(self.cells[image])[None], (side, side), patch)[0].numpy()

    def remove(self) -> None:
        """Delete what is on disk."""
        if self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)


def query_groups(found: Iterator[Batch]) -> Iterator[list[Batch]]:
    """Batches together until they are as many queries as should pass the bank at once."""
    group: list[Batch] = []
    rows = 0
    for batch in found:
        group.append(batch)
        rows += batch.features[..., 0].numel()
        if rows >= QUERIES:
            yield group
            group, rows = [], 0
    if group:
        yield group
