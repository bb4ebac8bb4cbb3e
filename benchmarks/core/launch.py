"""Three ways to run jobs: beside each other here, each on several processes, or as a SLURM job array.

A job is always a command of its own, so whatever kills it leaves the others alone. What it prints goes to its log.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.core.environment import ROOT
from benchmarks.core.task import Launch
from benchmarks.errors import InputError

#: A submitit cluster instead of SLURM: ``local`` or ``debug``. The tests use it.
CLUSTER = "FLSL_SUBMITIT_CLUSTER"

#: Seconds that a stopped job has for its snapshot.
GRACE = 90.0

#: How often running jobs are looked after, in seconds.
POLL = 0.2


@dataclass(frozen=True)
class Command:
    """A process to start: what to call it, its command line, where its output goes."""

    label: str
    words: Sequence[str]
    log: Path


@dataclass(frozen=True)
class Slurm:
    """What SLURM is asked for."""

    partition: str | None = None
    account: str | None = None
    hours: float = 24.0
    cpus: int = 8  # a GPU
    at_once: int = 100


#: Told of every job that ends: the command, and its one line of error or None.
Report = Callable[[Command, str | None], None]


def process_command(script: Sequence[str], launch: Launch, rendezvous: str | None, name: str) -> list[str]:
    """The command line of one job: ``script`` once, or once a device under ``torchrun``."""
    if launch.launcher != "torchrun":
        return [sys.executable, *script]
    if launch.nodes > 1:
        where = [
            f"--nnodes={launch.nodes}",
            "--rdzv_backend=c10d",
            f"--rdzv_endpoint={rendezvous}",
            f"--rdzv_id={name}",
        ]
    else:
        where = ["--standalone"]
    return [sys.executable, "-m", "torch.distributed.run", *where, f"--nproc_per_node={launch.gpus}", *script]


def run_here(commands: Sequence[Command], at_once: int, report: Report) -> None:
    """Run ``commands``, ``at_once`` beside each other, each on a GPU of its own where there are any.

    Alone, a job's output is shown as it comes. When this process is stopped, so are they.
    """
    waiting, free = list(commands), list(range(at_once))
    running: dict[int, tuple[Command, subprocess.Popen[bytes], int, int]] = {}
    try:
        while waiting or running:
            while waiting and free:
                command, slot = waiting.pop(0), free.pop(0)
                running[slot] = (command, *_start(command, _environment(slot, at_once)))
            for slot, (command, process, start, shown) in list(running.items()):
                ended = process.poll() is not None
                if at_once == 1:
                    shown = _show(command.log, shown)
                    running[slot] = (command, process, start, shown)
                if ended:
                    del running[slot]
                    free.append(slot)
                    report(command, failure(process.returncode, command.log, start))
            if running:
                time.sleep(POLL)
    finally:
        for _, process, *_ in running.values():
            _stop(process, 10.0)


def run_on_slurm(
    commands: Sequence[Command], gpus: int, nodes: int, slurm: Slurm, folder: Path, report: Report
) -> None:
    """Run ``commands`` as one job array and wait for it; the jobs go on if this process is killed."""
    executor = slurm_executor(gpus, nodes, slurm, folder)
    with executor.batch():
        jobs = [executor.submit(Attempt(command.words, command.log, nodes)) for command in commands]
    for command, job in zip(commands, jobs, strict=True):
        print(f"{command.label}: {executor.cluster} job {job.job_id}", file=sys.stderr)
    waiting = dict(zip(commands, jobs, strict=True))
    while waiting:
        for command, job in list(waiting.items()):
            if job.done():
                del waiting[command]
                report(command, _outcome(command, job))
        time.sleep(POLL if executor.cluster != "slurm" else 10)


def slurm_executor(gpus: int, nodes: int, slurm: Slurm, folder: Path) -> Any:
    """submitit's executor; :class:`InputError` where there is no SLURM."""
    import submitit

    cluster = os.environ.get(CLUSTER)
    if cluster is None and shutil.which("sbatch") is None:
        raise InputError("--launcher slurm needs SLURM's sbatch, which is not here: log in to the cluster")
    executor = submitit.AutoExecutor(folder=folder, cluster=cluster or "slurm")
    executor.update_parameters(
        name="flsl",
        timeout_min=max(1, round(60 * slurm.hours)),
        nodes=nodes,
        tasks_per_node=1,
        gpus_per_node=gpus,
        cpus_per_task=slurm.cpus * gpus,
        slurm_array_parallelism=slurm.at_once,
        slurm_signal_delay_s=round(GRACE) + 30,
        **{f"slurm_{k}": v for k, v in (("partition", slurm.partition), ("account", slurm.account)) if v},
    )
    return executor


class Attempt:
    """What a SLURM job does. When SLURM takes the machine away, the job is stopped and put into the queue again."""

    def __init__(self, command: Sequence[str], log: Path, nodes: int = 1) -> None:
        self.command, self.log, self.nodes = list(command), log, nodes
        self.process: subprocess.Popen[bytes] | None = None

    def __call__(self) -> tuple[int, int]:
        """The exit code, and where in the log this attempt began."""
        command = self.command
        if self.nodes > 1:
            import submitit

            first = submitit.JobEnvironment().hostnames[0]
            command = [part.replace("--rdzv_endpoint=None", f"--rdzv_endpoint={first}:29500") for part in command]
        self.process, start, _ = _start(Command("", command, self.log), dict(os.environ))
        return self.process.wait(), start

    def checkpoint(self) -> Any:
        """submitit calls this on the signal that comes before the end."""
        import submitit

        if self.process is not None:
            _end(self.process.pid, GRACE)
        return submitit.helpers.DelayedSubmission(Attempt(self.command, self.log, self.nodes))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "process": None}


#: What tells why a command failed, best first: our own line, the end of a traceback (not torchrun's), anything.
_TELLING = (r"error: (.+)", r"((?!.*ChildFailedError)[\w.]*(?:Error|Exception|Exit|Interrupt|Killed)\b.*)", r"(.+)")


def failure(code: int, log: Path, start: int = 0) -> str | None:
    """Why a job that wrote to ``log`` from byte ``start`` on ended with ``code``, in a line; None for 0."""
    if code == 0:
        return None
    if code < 0:
        name = signal.Signals(-code).name
        return f"killed by {name}{' (out of memory?)' if name == 'SIGKILL' else ''}"
    with open(log, "rb") as stream:
        stream.seek(start)
        text = stream.read().decode(errors="replace")
    # Progress bars go back to the line's start; processes of torchrun put their number before a line.
    lines = [re.sub(r"^\[rank\d+\]:\s*", "", line).strip() for line in re.split(r"[\r\n]+", text)]
    for pattern in _TELLING:
        for line in reversed(lines):
            if found := re.match(pattern, line):
                return found[1]
    return f"ended with exit code {code} and said nothing"


def _environment(slot: int, at_once: int) -> dict[str, str]:
    environment = dict(os.environ)
    if at_once > 1:
        if gpus := visible_gpus():
            environment["CUDA_VISIBLE_DEVICES"] = gpus[slot % len(gpus)]
        environment.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // at_once)))
    return environment


def visible_gpus() -> list[str]:
    """The GPUs that torch finds, as ``CUDA_VISIBLE_DEVICES`` names them."""
    import torch

    count = torch.cuda.device_count()
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return named.split(",")[:count] if named else [str(index) for index in range(count)]


def _start(command: Command, environment: Mapping[str, str]) -> tuple[subprocess.Popen[bytes], int, int]:
    """Start ``command``; the process, and twice the length that its log had."""
    command.log.parent.mkdir(parents=True, exist_ok=True)
    # A folder that happens to be called benchmarks where the command was typed must not be taken for this package.
    path = os.pathsep.join(filter(None, (str(ROOT), environment.get("PYTHONPATH"))))
    environment = {**environment, "PYTHONPATH": path}
    with open(command.log, "ab") as log:
        start = log.tell()
        process = subprocess.Popen(
            command.words, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=environment
        )
    return process, start, start


def _show(log: Path, shown: int) -> int:
    """Copy what is new in ``log`` to standard error."""
    with open(log, "rb") as stream:
        stream.seek(shown)
        new = stream.read()
    sys.stderr.write(new.decode(errors="replace"))
    sys.stderr.flush()
    return shown + len(new)


def _stop(process: subprocess.Popen[bytes], grace: float) -> None:
    """Ask a process to end, then make it."""
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(grace)
    if process.poll() is None:
        process.kill()
        process.wait()


def _end(pid: int, grace: float) -> None:
    """:func:`_stop` for a signal handler: the code that it interrupts may hold the lock of the process's object."""
    with contextlib.suppress(ProcessLookupError, ChildProcessError):
        os.kill(pid, signal.SIGTERM)
        end = time.monotonic() + grace
        while os.waitpid(pid, os.WNOHANG) == (0, 0):
            if time.monotonic() > end:
                os.kill(pid, signal.SIGKILL)
            time.sleep(POLL)


def _outcome(command: Command, job: Any) -> str | None:
    try:
        code, start = job.result()
    except Exception as error:  # submitit's own: the job vanished, was cancelled, or could not start
        return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    return failure(code, command.log, start)


@contextlib.contextmanager
def stopped_by_sigterm() -> Iterator[None]:
    """SIGTERM ends the block like Ctrl-C, so that what it has started is stopped as well."""

    def stop(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
