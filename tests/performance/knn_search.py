"""Is the k-NN search linear in the bank, near the machine's bound, and does ImageNet's size fit into 8 GB?

First a fixed number of queries meets banks of three sizes, in turns with nothing but the matrix product and the
largest k of every block, which is the bound for a search of this kind.

With --whole the full size too: 100,000 images against 500,000 with nine features of 384 each, the bank in a file of
6.9 GB (fp32) that is removed afterwards. The whole takes 10^15 multiplications, hours on a CPU, so two things are
shown instead. All queries, with the vote, meet the first block of the bank: every tensor of the search has its full
size from then on, and that peak of memory is printed. And some of the queries meet blocks from all over the file: what
a block costs does not depend on where it is, so the whole costs that many times as much, in the same memory.

    python tests/performance/knn_search.py --whole --folder /some/disk
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
import torch.nn.functional as F

from benchmarks.knn.bank import Bank, BankWriter, MemoryBank
from benchmarks.knn.search import BANK_ROWS, QUERY_ROWS, nearest
from benchmarks.knn.vote import vote_with_bank

DIM, PATCHES, K, CLASSES = 384, 9, 200, 1000


class SomeBlocks(Bank):
    """Of another bank the blocks that begin at ``starts``."""

    def __init__(self, bank: Bank, starts: range) -> None:
        self.bank, self.starts, self.labels, self.width = bank, starts, bank.labels, bank.width

    def blocks(self, rows: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for start in self.starts:
            yield self._read(start, rows).float(), self.labels[start : start + rows]

    def _read(self, start: int, rows: int) -> torch.Tensor:
        return self.bank._read(start, rows)


class MemoryPeaks:
    """Peak memory of this process inside the ``with``, in GiB: all that is resident, and what no file is behind."""

    FIELDS = ("VmHWM", "VmRSS", "RssAnon", "RssFile")

    def __enter__(self) -> MemoryPeaks:
        Path("/proc/self/clear_refs").write_text("5")  # the kernel's own peak, VmHWM, begins anew
        self.peaks = dict.fromkeys(self.FIELDS, 0.0)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._end.set()
        self._thread.join()
        self._look()

    def _watch(self) -> None:
        while not self._end.wait(0.02):
            self._look()

    def _look(self) -> None:
        lines = (line.split() for line in Path("/proc/self/status").read_text().splitlines())
        for name, *rest in lines:
            if (field := name.rstrip(":")) in self.peaks:
                self.peaks[field] = max(self.peaks[field], int(rest[0]) / 2**20)


def unit(rows: int, seed: int) -> torch.Tensor:
    return F.normalize(torch.randn(rows, DIM, generator=torch.Generator().manual_seed(seed)), dim=1)


def labels(images: int) -> torch.Tensor:
    return torch.randint(0, CLASSES, (images,)).repeat_interleave(PATCHES)


def linearity(sizes: list[int], images: int, repeats: int, clock: Callable[[], float]) -> None:
    queries = unit(images * PATCHES, 0)
    print(f"{images} x {PATCHES} queries, k = {K}, {torch.get_num_threads()} thread(s), medians of {repeats}")
    for size in sizes:
        bank = MemoryBank(unit(size * PATCHES, 1), labels(size))

        def bare(bank: Bank = bank) -> None:
            for block, _ in bank.blocks(BANK_ROWS):
                for part in queries.split(QUERY_ROWS):
                    (part @ block.T).topk(min(K, len(block)), dim=1)

        seconds: dict[str, list[float]] = {"search": [], "bare": []}
        for _ in range(repeats):
            for name, method in (("search", lambda bank=bank: nearest(queries, bank, K)), ("bare", bare)):
                start = clock()
                method()
                seconds[name].append(clock() - start)
        ratio = statistics.median(own / bound for own, bound in zip(*seconds.values(), strict=True))
        found = statistics.median(seconds["search"])
        print(
            f"bank of {size:>7,} images: {found:6.2f} s, {1e6 * found / size:.1f} us an image; "
            f"{ratio:.2f} of product and largest k alone"
        )


def whole(folder: Path, dtype: str, train: int, test: int, spread: int, clock: Callable[[], float]) -> None:
    with BankWriter(train * PATCHES, DIM, dtype, folder / "bank.features") as writer:
        for start in range(0, train, 5_000):
            count = min(5_000, train - start)
            writer.append(unit(count * PATCHES, start), labels(count))
    bank = writer.bank()
    queries = torch.empty(test * PATCHES, DIM)
    for start, part in zip(range(0, len(queries), 45_000), queries.split(45_000), strict=True):
        part.copy_(unit(len(part), 10**7 + start))
    targets = torch.randint(0, CLASSES, (test,))
    size = bank.path.stat().st_size / 2**30
    print(f"{test:,} x {PATCHES} queries, k = {K}")
    print(f"bank {train:,} x {PATCHES} x {DIM} {dtype}, a file of {size:.2f} GiB")
    with MemoryPeaks() as memory:
        start = clock()
        vote_with_bank(SomeBlocks(bank, range(1)), queries.unflatten(0, (-1, PATCHES)), targets, [K], CLASSES)
        seconds = clock() - start
    peak = memory.peaks
    print(
        f"all queries, one block and the vote: {seconds:.0f} s; peak {peak['VmHWM']:.2f} GiB resident, of it "
        f"{peak['RssAnon']:.2f} GiB of its own and {peak['RssFile']:.2f} GiB of files mapped (libraries)"
    )
    costs = []
    last = len(bank) - BANK_ROWS
    with MemoryPeaks() as memory:
        for start in range(0, last + 1, max(last // max(spread - 1, 1), 1)):
            began = clock()
            nearest(queries[:QUERY_ROWS], SomeBlocks(bank, range(start, start + 1)), K)
            costs.append(clock() - began)
    costs = costs[1:]  # the first finds no memory that is its own yet
    blocks, parts = -(-len(bank) // BANK_ROWS), -(-len(queries) // QUERY_ROWS)
    half = len(costs) // 2
    print(
        f"{QUERY_ROWS} queries and one block, {len(costs)} times across the file: median "
        f"{statistics.median(costs):.2f} s ({min(costs):.2f} to {max(costs):.2f}; first half "
        f"{statistics.median(costs[:half]):.2f}, second {statistics.median(costs[half:]):.2f}), "
        f"peak {memory.peaks['VmHWM']:.2f} GiB"
    )
    hours = blocks * parts * statistics.median(costs) / 3600
    print(f"so the whole, {parts} x {blocks} such pairs: {hours:.1f} hours on {torch.get_num_threads()} thread(s)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[10_000, 20_000, 40_000], help="sizes of the bank")
    parser.add_argument("--queries", type=int, default=500, help="images that ask")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--whole", action="store_true", help="ImageNet's size, too")
    parser.add_argument("--folder", help="with --whole: where the bank's file goes for the while (default: /tmp)")
    parser.add_argument("--train", type=int, default=500_000, help="with --whole: images of the bank")
    parser.add_argument("--test", type=int, default=100_000, help="with --whole: images that ask")
    parser.add_argument("--spread", type=int, default=25, help="with --whole: blocks from all over the file")
    parser.add_argument("--dtype", default="fp32")
    parser.add_argument("--cpu-time", action="store_true", help="instead of wall time, where others use the machine")
    args = parser.parse_args()
    clock = time.process_time if args.cpu_time else time.perf_counter
    linearity(args.images, args.queries, args.repeats, clock)
    if args.whole:
        with tempfile.TemporaryDirectory(dir=args.folder) as folder:
            whole(Path(folder), args.dtype, args.train, args.test, args.spread, clock)


if __name__ == "__main__":
    main()
