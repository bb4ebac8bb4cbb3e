"""The k-NN search against a bank of ImageNet's size beside the bare product and largest k, in turns."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F

from benchmarks.knn.bank import MemoryBank
from benchmarks.knn.search import BANK_ROWS, QUERY_ROWS, nearest
from device_parts.book import Row, Size
from device_parts.turns import device, in_turns, peak_gib, ratio

DIM, PATCHES, K = 384, 9, 200
#: ILSVRC's images with boxes: those of the bank, and those that ask.
TRAIN, TEST = 500_000, 50_000


def search(size: Size) -> Iterator[Row]:
    """Some queries meet the whole bank, fp16 in the host's memory; what all would take is estimated from them."""
    where = device()
    rows, queries, k = (600, 50, 10) if size.tiny else (TRAIN * PATCHES, 4 * QUERY_ROWS, K)
    features = torch.empty(rows, DIM, dtype=torch.float16)
    for part in features.split(2**18):
        part.copy_(F.normalize(torch.randn(len(part), DIM, device=where), dim=1).half())
    bank = MemoryBank(features, torch.randint(0, 1000, (rows,)))
    asked = F.normalize(torch.randn(queries, DIM, device=where), dim=1)

    def bare() -> None:
        for block, _ in bank.blocks(BANK_ROWS):
            there = block.to(where)
            for part in asked.split(QUERY_ROWS):
                (part @ there.T).topk(min(k, len(there)), dim=1)

    def ours() -> None:
        nearest(asked, bank, k)

    repeats = 1 if size.tiny else 2
    peak = peak_gib(ours, where)
    medians = in_turns({"search": ours, "bare": bare}, repeats, where, warm_up=1 if size.tiny else 0)
    whole = TEST * PATCHES / queries
    yield {
        "bank_rows_count": rows,
        "queries_count": queries,
        "width_count": DIM,
        "neighbours_count": k,
        "repeats_count": repeats,
        "search_over_bare_ratio": ratio(medians["search"], medians["bare"]),
        "search_ms": medians["search"],
        "bare_ms": medians["bare"],
        "queries_per_s": round(1000 * queries / medians["search"], 1),
        "all_of_imagenet_estimated_s": None if size.tiny else round(whole * medians["search"] / 1000, 1),
        "peak_gib": peak,
    }
