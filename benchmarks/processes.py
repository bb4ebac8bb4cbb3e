"""Several processes that do one job: which of them speaks for all."""

from __future__ import annotations

import datetime
import os

import torch.distributed as dist

#: How long a process waits for the others. NCCL gives up after ten minutes where nobody says so, but the first process
#: alone reads annotations, scores 40,735 frames of UAVDT or draws, and the others wait for it. A process that dies is
#: not waited for: torchrun and Slurm end the rest.
PATIENCE = datetime.timedelta(hours=2)


def is_first_process() -> bool:
    """Whether this process prints, draws, and writes records; torchrun numbers its processes by ``RANK``."""
    return int(os.environ.get("RANK", "0")) == 0


def leave() -> None:
    """Leave the process group, if there is one: gloo's threads abort a process that ends while it is in one."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()
