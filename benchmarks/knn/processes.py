"""One process or several under ``torchrun``: who does what, and how results come together."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
import torch.distributed as dist

from benchmarks.errors import InputError
from benchmarks.processes import PATIENCE

T = TypeVar("T")


def join(device: str) -> None:
    """Join the process group when ``torchrun`` started this process; do nothing otherwise."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not dist.is_initialized():
        if device.startswith("cuda") and torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
            dist.init_process_group("nccl", timeout=PATIENCE)
        else:
            dist.init_process_group("gloo", timeout=PATIENCE)


def rank() -> int:
    """This process's number, 0 when it is alone."""
    return dist.get_rank() if dist.is_initialized() else 0


def world() -> int:
    """How many processes there are."""
    return dist.get_world_size() if dist.is_initialized() else 1


def own_device(device: str) -> str:
    """The device of this process: under ``torchrun``, ``cuda`` is one GPU for each process of the machine."""
    return f"cuda:{os.environ['LOCAL_RANK']}" if device == "cuda" and world() > 1 else device


def share(items: Sequence[T]) -> Sequence[T]:
    """This process's contiguous part of ``items``; the parts in order of rank make up the whole."""
    bounds = [len(items) * part // world() for part in (rank(), rank() + 1)]
    return items[bounds[0] : bounds[1]]


def together(work: Callable[[], T]) -> T:
    """Do ``work`` in every process; an :class:`InputError` in one is raised in all, so that none waits for it."""
    error = None
    try:
        result = work()
    except InputError as found:
        error = str(found)
    if world() > 1:
        errors: list[str | None] = [None] * world()
        dist.all_gather_object(errors, error)
        error = next((message for message in errors if message), None)
    if error is not None:
        raise InputError(error)
    return result


def gather_counts(count: int) -> list[int]:
    """Every process's ``count``, by rank."""
    counts = [count] * world()
    if world() > 1:
        dist.all_gather_object(counts, count)
    return counts


def gather_rows(rows: torch.Tensor) -> list[torch.Tensor]:
    """Every process's ``[n_i, ...]`` (n may differ), by rank, on the device of ``rows``."""
    if world() == 1:
        return [rows]
    counts = gather_counts(len(rows))
    padded = rows.new_zeros(max(counts), *rows.shape[1:])
    padded[: len(rows)] = rows
    found = [torch.empty_like(padded) for _ in counts]
    dist.all_gather(found, padded)
    return [part[:count] for part, count in zip(found, counts, strict=True)]
