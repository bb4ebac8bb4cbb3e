"""k-NN over patches as CAPI evaluates it: every pixel of a patch asks the same pixel of the nearest training patches.

Source of the rule: facebookresearch/capi @ 98b4fa1, ``eval_segmentation.py``. Images and label maps are stretched to
one square; features are standardised by the training images; patches whose most frequent label is void take no part in
training. The answer for a pixel is the most frequent label at its place in the k neighbours' patches, the smallest of
several. k and the distance are those with the highest mIoU on a tenth of the training images, held out; then all of
them train. Void may be predicted, and its rule of scoring makes that a class (see
:mod:`benchmarks.segmentation.scoring`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from benchmarks.segmentation.bank import PatchBank
from benchmarks.segmentation.search import nearest_rows

#: Queries whose neighbours' labels are gathered at a time.
QUERIES = 2048


@dataclass
class Standard:
    """Mean and deviation of each feature over rows that were added, as scikit-learn's StandardScaler."""

    rows: int = 0
    total: torch.Tensor | None = None
    squares: torch.Tensor | None = None

    def add(self, features: torch.Tensor) -> None:
        """Take ``[n, D]`` into account; sums are fp64 around the first row, so that large means cost no digits."""
        features = features.double().cpu()
        if self.total is None or self.squares is None:
            self.origin = features[0].clone()
            self.total, self.squares = torch.zeros_like(self.origin), torch.zeros_like(self.origin)
        apart = features - self.origin
        self.rows += len(features)
        self.total += apart.sum(0)
        self.squares += apart.pow(2).sum(0)

    def scaler(self) -> Scaler:
        """What brings features to mean 0 and deviation 1; one that never changes keeps its scale."""
        if self.total is None or self.squares is None:
            raise ValueError("no row was added")
        mean = self.total / self.rows
        variance = (self.squares / self.rows - mean**2).clamp(min=0.0)
        deviation = torch.where(variance > 1e-14 * (1.0 + mean**2), variance.sqrt(), 1.0)
        return Scaler((self.origin + mean).float(), deviation.float())


@dataclass(frozen=True)
class Scaler:
    """``(features - mean) / deviation``, each ``[D]``."""

    mean: torch.Tensor
    deviation: torch.Tensor

    def __call__(self, features: torch.Tensor) -> torch.Tensor:
        """Features ``[..., D]``, standardised."""
        return (features - self.mean.to(features.device)) / self.deviation.to(features.device)


def modal(cells: torch.Tensor) -> torch.Tensor:
    """The most frequent label of each patch, the smallest of several: uint8 ``[n, pixels]`` -> ``[n]``."""
    return vote(cells[:, :, None])[:, 0]


def predict(queries: torch.Tensor, bank: PatchBank, ks: tuple[int, ...], metric: str) -> dict[int, torch.Tensor]:
    """For each k the labels of every query's pixels: features ``[Q, D]`` -> uint8 ``[Q, pixels]``."""
    _, rows = nearest_rows(queries, bank, max(ks), metric)
    rows = rows.cpu()
    found: dict[int, list[torch.Tensor]] = {k: [] for k in ks}
    for part in rows.split(QUERIES):
        labels = bank.labels_of(part)
        for k in ks:
            found[k].append(vote(labels[:, :k]))
    return {k: torch.cat(parts) for k, parts in found.items()}


def vote(labels: torch.Tensor) -> torch.Tensor:
    """The most frequent of k labels, the smallest of several: uint8 ``[Q, k, pixels]`` -> ``[Q, pixels]``."""
    if labels.shape[1] == 1:
        return labels[:, 0]
    # Most neighbours' patches have one label throughout: then one pixel answers for all.
    plain = (labels == labels[:, :, :1]).all(2).all(1)
    answers = torch.empty(labels.shape[0], labels.shape[2], dtype=labels.dtype)
    answers[plain] = labels[plain][:, :, :1].mode(dim=1).values.expand(-1, labels.shape[2])
    answers[~plain] = labels[~plain].mode(dim=1).values
    return answers
