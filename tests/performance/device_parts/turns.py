"""Sides that are timed in turns, memory peaks and host waits: how every part measures."""

from __future__ import annotations

import gc
import resource
import statistics
import time
import warnings
from collections.abc import Callable, Mapping

import torch


def device() -> torch.device:
    """The first GPU, or the CPU where there is none."""
    from benchmarks.devices import usable_device

    return usable_device("auto")


def wait(where: torch.device) -> None:
    if where.type == "cuda":
        torch.cuda.synchronize(where)


def in_turns(
    sides: Mapping[str, Callable[[], object]], repeats: int, where: torch.device, warm_up: int = 1
) -> dict[str, float]:
    """Medians in ms by side. Sides alternate, and their order too, so that a clock that slows down slows down all."""
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(warm_up):
        for side in sides.values():
            side()
    for repeat in range(repeats):
        for name in sorted(sides, reverse=bool(repeat % 2)):
            wait(where)
            start = time.perf_counter()
            sides[name]()
            wait(where)
            taken[name].append(1000 * (time.perf_counter() - start))
    return {name: round(statistics.median(times), 4) for name, times in taken.items()}


def peak_gib(work: Callable[[], object], where: torch.device) -> float:
    """GiB that ``work`` allocates at its most, what is there already included; on a CPU the process's, ever."""
    if where.type != "cuda":
        work()
        return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 3)
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(where)
    work()
    wait(where)
    return round(torch.cuda.max_memory_allocated(where) / 2**30, 3)


def host_waits(work: Callable[[], object], where: torch.device) -> int | None:
    """How often ``work`` makes the host wait for the GPU, as torch's debug mode sees it; None on a CPU."""
    if where.type != "cuda":
        return None
    work()
    wait(where)
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            work()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return sum("synchronizing" in str(one.message) for one in caught)


def ratio(one: float, other: float) -> float:
    return round(one / other, 4)
