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
    """Fractions of one image's patches ``[h*w, C]`` -> the largest class of each pixel ``[H, W]``, first of several.

    Only classes that can win somewhere are enlarged; of many classes most cannot, and the map is the same.
    """
    maps = answers.T.reshape(1, -1, *grid)
    chosen = contenders(maps[0])
    enlarged = F.interpolate(maps[:, chosen].contiguous(), size=size, mode="bilinear")
    return chosen[enlarged.max(dim=1).indices[0]]


def contenders(maps: torch.Tensor) -> torch.Tensor:
    """The classes ``[c]`` that can be largest at a pixel when ``maps`` ``[C, h, w]`` are enlarged bilinearly.

    A pixel mixes the four patches around it with weights w, so no class gets more there than its largest of the four,
    and the winner has at least the largest w * m, m being each patch's largest value. That is least where w is as
    1 / m, and then 1 / (the sum of the four 1 / m). The first class always stays: it is the answer where nothing is.
    """
    around = F.pad(maps[None], (0, 1, 0, 1), mode="replicate")
    surely = 1.0 / (4.0 * F.avg_pool2d(1.0 / around.amax(dim=1, keepdim=True), 2, stride=1))
    largest = F.max_pool2d(around, 2, stride=1)
    able = ((largest >= 0.999 * surely) & (largest > 0)).flatten(2).any(dim=2)[0]
    able[0] = True
    return able.nonzero()[:, 0]
