"""Is the k-NN search linear in the bank, and does ImageNet's size fit into 8 GB?

Times a fixed number of queries against banks of three sizes. With --whole it also takes the full size, 100,000
images against 500,000 with nine features of 384 each, the bank in a file: it goes through the first blocks of the
bank only, because the whole takes hours on a CPU, but all of its memory is in use by then.

    python tests/performance/knn_search.py --whole
"""

from __future__ import annotations

import argparse
import itertools
import resource
import tempfile
import time
from pathlib import Path

import torch
import torch.nn.functional as F

from benchmarks.knn.bank import Bank, BankWriter, MemoryBank
from benchmarks.knn.search import BANK_ROWS, nearest

DIM, PATCHES, K = 384, 9, 200


class FirstBlocks(Bank):
    """A bank that ends after so many blocks."""

    def __init__(self, bank: Bank, count: int) -> None:
        self.bank, self.count, self.labels, self.width = bank, count, bank.labels, bank.width

    def blocks(self, rows: int):
        return itertools.islice(self.bank.blocks(rows), self.count)

    def _read(self, start: int, rows: int) -> torch.Tensor:
        raise NotImplementedError


def unit(rows: int, seed: int) -> torch.Tensor:
    return F.normalize(torch.randn(rows, DIM, generator=torch.Generator().manual_seed(seed)), dim=1)


def whole(folder: Path, dtype: str, blocks: int, rows: int, train: int = 500_000, test: int = 100_000) -> None:
    with BankWriter(train * PATCHES, DIM, dtype, folder / "bank.features") as writer:
        for start in range(0, train, 10_000):
            writer.append(unit(10_000 * PATCHES, start), torch.randint(0, 1000, (10_000 * PATCHES,)))
    queries = torch.empty(test * PATCHES, DIM)
    for start in range(0, len(queries), 90_000):
        queries[start : start + 90_000] = unit(90_000, 1_000_000 + start)
    start = time.perf_counter()
    similarities, _ = nearest(queries, FirstBlocks(writer.bank(), blocks), K, rows)
    assert similarities.isfinite().all()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{test:,} x {PATCHES} queries, bank {train:,} x {PATCHES} x {DIM} {dtype} in a file, k = {K}")
    seconds, count = time.perf_counter() - start, -(-len(writer.bank()) // rows)
    print(f"{blocks} of {count} blocks of {rows} rows in {seconds:.0f} s; peak {peak:.2f} GiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[10_000, 20_000, 40_000], help="sizes of the bank")
    parser.add_argument("--queries", type=int, default=500, help="images that ask")
    parser.add_argument("--whole", action="store_true")
    parser.add_argument("--blocks", type=int, default=1, help="of the bank, with --whole")
    parser.add_argument("--rows", type=int, default=BANK_ROWS, help="of a block, with --whole")
    parser.add_argument("--dtype", default="fp32")
    parser.add_argument("--cpu-time", action="store_true", help="instead of wall time, where others use the machine")
    args = parser.parse_args()
    clock = time.process_time if args.cpu_time else time.perf_counter
    queries = unit(args.queries * PATCHES, 0)
    print(f"{args.queries} x {PATCHES} queries, k = {K}, {torch.get_num_threads()} thread(s)")
    for images in args.images:
        bank = MemoryBank(unit(images * PATCHES, 1), torch.randint(0, 1000, (images * PATCHES,)))
        start = clock()
        nearest(queries, bank, K)
        seconds = clock() - start
        print(f"bank of {images:>7,} images: {seconds:6.2f} s, {1e6 * seconds / images:.1f} us an image")
    if args.whole:
        with tempfile.TemporaryDirectory() as folder:
            whole(Path(folder), args.dtype, args.blocks, args.rows)


if __name__ == "__main__":
    main()
