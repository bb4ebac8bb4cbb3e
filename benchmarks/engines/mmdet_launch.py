"""One process a device: a command that starts itself again under torchrun or srun."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

from benchmarks.errors import InputError

#: What tells a process that its launcher has started it.
_STARTED = {"torchrun": "TORCHELASTIC_RUN_ID", "slurm": "SLURM_PROCID"}


def relaunch(launcher: str, devices: int, argv: Sequence[str]) -> int | None:
    """Run ``argv`` once a device under ``launcher`` and return the exit code.

    None where this process is to do the work: without a launcher, and where the launcher has started it.
    """
    if launcher == "none":
        if devices != 1:
            raise InputError(f"--gpus {devices} takes --launcher torchrun or slurm: without one there is one process")
        return None
    if _STARTED[launcher] in os.environ:
        return None
    return subprocess.call(launch_command(launcher, devices, argv))


def launch_command(launcher: str, devices: int, argv: Sequence[str]) -> list[str]:
    """The command line that starts the script ``argv`` once a device, on one machine or one SLURM allocation."""
    if devices < 1:
        raise InputError(f"--gpus is {devices}: give the number of processes, 1 or more")
    if launcher == "torchrun":
        start = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={devices}"]
        return [sys.executable, *start, *argv]
    return ["srun", f"--ntasks={devices}", "--gpus-per-task=1", sys.executable, *argv]


def is_first_process() -> bool:
    """Whether this process speaks for all: prints, draws, and writes records."""
    return int(os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0"))) == 0
