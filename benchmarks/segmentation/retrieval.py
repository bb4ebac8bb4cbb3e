"""In-context segmentation by retrieved patches, as open-hummingbird-eval evaluates it.

Source of the rule: vpariza/open-hummingbird-eval @ 5e79da2, ``hbird/hbird_eval.py`` (after Balazevic et al., 2023). A
memory holds the normalised features of training patches, the same number of each image: those with the smallest sum of
the frequencies of their classes in the image (patches on boundaries and of rare classes), times a random number. A
patch of a validation image gets the mean of its neighbours' class fractions, weighted by a softmax of cosine / 0.02;
its map is enlarged bilinearly, and the largest class wins.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from benchmarks.segmentation.bank import PatchBank
from benchmarks.segmentation.geometry import fractions
from benchmarks.segmentation.search import nearest_rows

#: Queries answered at a time.
QUERIES = 4096

#: What a patch without any class scores when patches are drawn: it is taken last.
NOTHING = 1e6


def drawn(presence: torch.Tensor, count: int, generator: torch.Generator) -> torch.Tensor:
    """The patches of one image to keep: classes present bool ``[n, C]`` -> at most ``count`` indices."""
    frequency = presence.sum(0).float()
    score = presence.float() @ frequency
    there = presence.any(1)
    score[~there] = NOTHING
    score[there] *= torch.rand(int(there.sum()), generator=generator)
    return score.topk(min(count, len(score)), largest=False).indices


def answer(queries: torch.Tensor, bank: PatchBank, k: int, temperature: float, classes: int, void: str) -> torch.Tensor:
    """Class fractions of queries fp32 ``[Q, D]`` from their neighbours': fp32 ``[Q, C]``, or ``[Q, C + 1]``."""
    similarity, rows = nearest_rows(queries, bank, k, "cosine")
    parts = []
    for near, row in zip(similarity.split(QUERIES), rows.split(QUERIES), strict=True):
        used, where = row.reshape(-1).unique(return_inverse=True)
        known = fractions(torch.from_numpy(bank.cells[used.cpu().numpy()]), classes, void).to(queries.device)
        weights = (near / temperature).softmax(dim=1)
        parts.append(torch.einsum("qk,qkc->qc", weights, known[where.reshape(row.shape)]))
    return torch.cat(parts)


def label_map(answers: torch.Tensor, grid: tuple[int, int], size: tuple[int, int]) -> torch.Tensor:
    """Fractions of one image's patches ``[h*w, C]`` -> the largest class of each pixel ``[H, W]``."""
    maps = answers.T.reshape(1, -1, *grid)
    return F.interpolate(maps, size=size, mode="bilinear").argmax(dim=1)[0]
