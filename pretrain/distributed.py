"""The processes of one run: who is who, and sums over all of them. With one process everything is the identity."""

from __future__ import annotations

import os
from typing import Any

import torch
import torch.distributed as dist

from benchmarks.devices import choose_precision
from benchmarks.errors import InputError
from benchmarks.processes import PATIENCE


def choose_device(name: str) -> torch.device:
    """The device of this process for ``auto``, ``cpu`` or ``cuda``; :class:`InputError` when there is no such GPU."""
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise InputError("run.device is cuda, but torch sees no GPU: use run.device=cpu")
    local = int(os.environ.get("LOCAL_RANK", 0))
    if local >= torch.cuda.device_count():
        raise InputError(f"process {local} of this node has no GPU: start {torch.cuda.device_count()} processes")
    torch.cuda.set_device(local)
    choose_precision()
    return torch.device("cuda", local)


class Processes:
    """The process group of a run started by ``torchrun``, or this process alone."""

    def __init__(self, device: torch.device) -> None:
        self.rank, self.world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        self.control: Any = None
        if self.world > 1:
            if not dist.is_initialized():
                _meet("nccl" if device.type == "cuda" else "gloo")
            # Flags travel between hosts' processors, so that they never wait for a GPU.
            self.control = dist.new_group(backend="gloo", timeout=PATIENCE)

    @property
    def first(self) -> bool:
        return self.rank == 0

    def sum(self, *numbers: int) -> list[int]:
        """Each number's sum over the processes."""
        if self.control is None:
            return list(numbers)
        values = torch.tensor(numbers, dtype=torch.int64)
        dist.all_reduce(values, group=self.control)
        return values.tolist()

    def gather(self, value: dict) -> list[dict]:
        """``value`` of every process, in each of them."""
        if self.control is None:
            return [value]
        values: list[dict] = [{}] * self.world
        dist.all_gather_object(values, value, group=self.control)
        return values

    def barrier(self) -> None:
        if self.control is not None:
            dist.barrier(group=self.control)


def _meet(backend: str) -> None:
    """Start the process group that ``torchrun``'s environment describes.

    When torchrun restarts the processes of a node, its store still holds the addresses of the dead ones, and whoever
    reads those waits for nobody. So each attempt has names of its own. (With several nodes each counts its own
    attempts, so there torch's default stands.)
    """
    store, rank, world = next(dist.rendezvous("env://"))
    if os.environ.get("LOCAL_WORLD_SIZE") == os.environ["WORLD_SIZE"]:
        store = dist.PrefixStore(f"attempt {os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}", store)
    dist.init_process_group(backend, store=store, rank=rank, world_size=world, timeout=PATIENCE)


def several() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


class _MeanOverProcesses(torch.autograd.Function):
    """Mean of a tensor over all processes; the gradient passes through unchanged.

    That is the exact gradient under DistributedDataParallel, which averages what the processes
    computed: each contributes ``f'(mean)`` for its own part.
    """

    @staticmethod
    def forward(ctx, value):
        value = value / dist.get_world_size()
        dist.all_reduce(value)
        return value

    @staticmethod
    def backward(ctx, gradient):
        return gradient


def mean_over_processes(value: torch.Tensor) -> torch.Tensor:
    """``value`` averaged over the process group, or ``value`` itself where there is only one process."""
    return _MeanOverProcesses.apply(value) if several() else value


def logsumexp_over_processes(value: torch.Tensor) -> torch.Tensor:
    """``log(sum(exp(value)))`` over the process group, element by element; no gradient."""
    if not several():
        return value
    largest = value.clone()
    dist.all_reduce(largest, dist.ReduceOp.MAX)
    total = (value - largest).exp()
    dist.all_reduce(total)
    return largest + total.log()
