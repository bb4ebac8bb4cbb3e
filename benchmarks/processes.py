"""Several processes that do one job: which of them speaks for all."""

from __future__ import annotations

import os

import torch.distributed as dist


def is_first_process() -> bool:
    """Whether this process prints, draws, and writes records; torchrun numbers its processes by ``RANK``."""
    return int(os.environ.get("RANK", "0")) == 0


def leave() -> None:
    """Leave the process group, if there is one: gloo's threads abort a process that ends while it is in one."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()
