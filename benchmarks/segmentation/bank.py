"""Training patches to be searched: features in a bank of :mod:`benchmarks.knn.bank`, the labels of their pixels."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from benchmarks.files import atomic_path, read_json, write_json
from benchmarks.knn.bank import Bank, BankWriter, DiskBank


@dataclass(frozen=True)
class PatchBank:
    """``features`` in a bank whose labels are row numbers; ``cells`` uint8 ``[rows, pixels]``: the labels of each
    patch.

    In memory ``features`` are the features in fp32. On disk those are ``exact``, and ``features`` are their directions
    (normalised rows) in fp16, to search in; ``error`` is the largest distance that rounding moved one of them.
    """

    features: Bank
    cells: np.ndarray
    exact: Bank | None = None
    error: float = 0.0

    def __len__(self) -> int:
        return len(self.features)

    def labels_of(self, rows: torch.Tensor) -> torch.Tensor:
        """Rows ``[Q, k]`` -> their patches' labels uint8 ``[Q, k, pixels]``."""
        return torch.from_numpy(self.cells[rows.cpu().numpy().reshape(-1)]).reshape(*rows.shape, -1)


#: Features and labels of some patches, fp32 ``[n, D]`` and uint8 ``[n, pixels]``.
Parts = Iterator[tuple[torch.Tensor, torch.Tensor]]


def build(parts: Parts, capacity: int, width: int, pixels: int, folder: Path | None = None) -> PatchBank:
    """A bank of ``parts``, at most ``capacity`` rows, in memory or in files of ``folder``."""
    if folder is None:
        cells, rows = np.empty((capacity, pixels), np.uint8), 0
        with BankWriter(capacity, width) as writer:
            for features, labels in parts:
                writer.append(features.cpu(), torch.arange(rows, rows + len(features)))
                cells[rows : rows + len(features)] = labels.numpy()
                rows += len(features)
        return PatchBank(writer.bank(), cells[:rows])
    folder.mkdir(parents=True, exist_ok=True)
    rows, error = 0, 0.0
    with ExitStack() as stack:
        stored = stack.enter_context(atomic_path(folder / "cells.npy"))
        on_disk = np.lib.format.open_memmap(stored, "w+", np.uint8, (capacity, pixels))
        half, full = (
            stack.enter_context(BankWriter(capacity, width, dtype, folder / f"{dtype}.features"))
            for dtype in ("fp16", "fp32")
        )
        for features, labels in parts:
            numbers, features = torch.arange(rows, rows + len(features)), features.cpu().float()
            full.append(features, numbers)
            directions = F.normalize(features, dim=1)
            half.append(directions, numbers)
            error = max(error, float((directions.half().float() - directions).norm(dim=1).max()))
            on_disk[rows : rows + len(features)] = labels.numpy()
            rows += len(features)
        on_disk.flush()
    half.bank(), full.bank()
    write_json(folder / "bank.json", {"rows": rows, "error": error})
    return opened(folder)


def exists(folder: Path) -> bool:
    """Whether a whole bank is in ``folder``."""
    return (folder / "bank.json").is_file()


def opened(folder: Path) -> PatchBank:
    """The bank in ``folder``; labels are mapped, features read block by block."""
    about = read_json(folder / "bank.json", "description of a bank")
    banks = [DiskBank(folder / f"{dtype}.features") for dtype in ("fp16", "fp32")]
    return PatchBank(banks[0], np.load(folder / "cells.npy", mmap_mode="r"), banks[1], about["error"])
