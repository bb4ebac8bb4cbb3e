"""Exact nearest neighbours, block by block over the memory bank."""

from __future__ import annotations

import torch

from benchmarks.errors import InputError
from benchmarks.knn.bank import Bank
from benchmarks.knn.processes import gather_counts, gather_rows

#: Rows of the bank in one block, and queries that meet them at a time: 64 Mi fp32 similarities, 256 MiB.
#: Without blocks, ImageNet needs 88 GB.
BANK_ROWS = 16384
QUERY_ROWS = 4096


def nearest(
    queries: torch.Tensor, bank: Bank, k: int, bank_rows: int = BANK_ROWS, query_rows: int = QUERY_ROWS
) -> tuple[torch.Tensor, torch.Tensor]:
    """The ``k`` largest dot products of each query ``[Q, D]`` with the bank, and the labels of those rows.

    Returns similarities fp32 ``[Q, k]``, largest first, and labels int32 ``[Q, k]``, on the queries' device.
    Exact. The bank passes once; beside it and the queries, memory holds one block of similarities and the result.
    With several processes each has a part of the bank and the same queries; all get the neighbours in the whole.
    """
    total = sum(gather_counts(len(bank)))
    if k > total:
        raise InputError(f"k={k} neighbours, but the training set has {total} features: ask for a smaller k")
    best = queries.new_full((len(queries), k), -torch.inf, dtype=torch.float32)
    labels = torch.zeros(len(queries), k, dtype=torch.int32, device=queries.device)
    for block, block_labels in bank.blocks(max(bank_rows, k)):
        block = block.to(queries.device)
        block_labels = block_labels.to(queries.device, torch.int32)
        for start in range(0, len(queries), query_rows):
            rows = slice(start, start + query_rows)
            found, index = (queries[rows].float() @ block.T).topk(min(k, len(block)), dim=1)
            best[rows], labels[rows] = _merge([best[rows], found], [labels[rows], block_labels[index]], k)
    for start in range(0, len(queries), query_rows):
        rows = slice(start, start + query_rows)
        parts = [gather_rows(tensor[rows]) for tensor in (best, labels)]
        if len(parts[0]) > 1:
            best[rows], labels[rows] = _merge(parts[0], parts[1], k)
    return best, labels


def _merge(similarities: list[torch.Tensor], labels: list[torch.Tensor], k: int) -> tuple[torch.Tensor, torch.Tensor]:
    best, order = torch.cat(similarities, dim=1).topk(k, dim=1)
    return best, torch.cat(labels, dim=1).gather(1, order)
