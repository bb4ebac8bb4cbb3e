"""Exact nearest patches by cosine or Euclidean distance, over a bank that need not fit into memory.

The search itself is :func:`benchmarks.knn.search.nearest`: the bank passes block by block. Both distances are dot
products there: rows are normalised, or get half their squared length as one more dimension. A bank on disk is searched
in fp16, half the bytes to read; what comes near enough is computed again from the fp32 rows, and how far rounding
moved any row proves for each query that nothing else could have come in. Queries without that proof are searched in
fp32.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F

from benchmarks.knn.bank import Bank
from benchmarks.knn.search import nearest
from benchmarks.segmentation.bank import PatchBank

METRICS = ("cosine", "L2")

#: Candidates of the fp16 search for each neighbour that is asked for.
CANDIDATES = 4

#: What fp32 sums of a few thousand products may err by on top.
SUMS = 1e-6


class Seen(Bank):
    """A bank as a metric sees it, so that the largest dot product is the nearest; labels are row numbers."""

    def __init__(self, bank: Bank, metric: str) -> None:
        self.bank, self.metric, self.labels, self.width = bank, metric, bank.labels, bank.width

    def _read(self, start: int, rows: int) -> torch.Tensor:
        return prepared(self.bank._read(start, rows).float(), self.metric)


def prepared(rows: torch.Tensor, metric: str) -> torch.Tensor:
    """Bank rows fp32 ``[n, D]`` as a metric sees them; ``dot`` takes them as they are."""
    if metric == "dot":
        return rows
    if metric == "cosine":
        return F.normalize(rows, dim=1)
    return torch.cat([rows, -0.5 * rows.pow(2).sum(1, keepdim=True)], dim=1)


def asked(queries: torch.Tensor, metric: str) -> torch.Tensor:
    """Queries fp32 ``[n, D]`` as a metric sees them."""
    if metric == "cosine":
        return F.normalize(queries, dim=1)
    return torch.cat([queries, queries.new_ones(len(queries), 1)], dim=1)


def nearest_rows(queries: torch.Tensor, bank: PatchBank, k: int, metric: str) -> tuple[torch.Tensor, torch.Tensor]:
    """The ``k`` nearest rows of each query fp32 ``[Q, D]``: similarities fp32 and row numbers int64, each ``[Q, k]``.

    Nearest first. The similarity is the cosine, or for ``L2`` the dot product less half the row's squared length.
    """
    k = min(k, len(bank))
    own = asked(queries.float(), metric)
    if bank.exact is None or metric != "cosine":
        best, rows = nearest(own, Seen(bank.exact or bank.features, metric), k)
        return best, rows.long()
    wide = min(CANDIDATES * k, len(bank))
    rough, rows = nearest(own, Seen(bank.features, "dot"), wide)
    best, order = _again(own, bank.exact, rows.long()).topk(k, dim=1)
    found = rows.long().gather(1, order)
    if wide < len(bank):
        # Whatever was left out has a rough similarity of at most the last candidate's, and a true one not far from it.
        unproven = best[:, -1] < rough[:, -1] + bank.error + SUMS
        if unproven.any():
            best[unproven], rest = nearest(own[unproven], Seen(bank.exact, metric), k)
            found[unproven] = rest.long()
    return best, found


def _again(queries: torch.Tensor, bank: Bank, rows: torch.Tensor) -> torch.Tensor:
    """Exact similarities ``[Q, c]`` of the candidates ``rows``: a bank's rows are read once, in their order."""
    wanted, where = rows.reshape(-1).unique(return_inverse=True)
    where = where.reshape(rows.shape)
    found = torch.empty(rows.shape, dtype=torch.float32, device=queries.device)
    for start, vectors in _rows(bank, wanted.cpu()):
        inside = (where >= start) & (where < start + len(vectors))
        query, column = inside.nonzero(as_tuple=True)
        vectors = F.normalize(vectors.to(queries.device), dim=1)
        for part in torch.arange(len(query)).split(1 << 16):
            q, c = query[part], column[part]
            found[q, c] = (queries[q] * vectors[where[q, c] - start]).sum(1)
    return found


def _rows(bank: Bank, wanted: torch.Tensor, block: int = 16384) -> Iterator[tuple[int, torch.Tensor]]:
    """The rows ``wanted`` (sorted) of a bank, block by block, each with the number of its first in ``wanted``."""
    for start in range(0, len(bank), block):
        inside = wanted[
            (low := int(torch.searchsorted(wanted, start))) : int(torch.searchsorted(wanted, start + block))
        ]
        if len(inside):
            rows = bank._read(start, min(block, len(bank) - start))
            yield low, rows[inside - start].float()
