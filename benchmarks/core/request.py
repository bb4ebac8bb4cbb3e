"""What is asked for: models judged by a task on some data, and the jobs that it comes to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.core import settings as of_settings
from benchmarks.core.job import Job, make_job, recorded
from benchmarks.core.launch import Slurm, visible_gpus
from benchmarks.core.model import Model
from benchmarks.core.task import Launch, Task
from benchmarks.errors import InputError


@dataclass(frozen=True)
class Entry:
    """One line of a request: a name, its model (None where the job makes it), and the settings to judge it by."""

    name: str
    model: Model | None
    settings: Any


@dataclass(frozen=True)
class Request:
    """Entries judged by one task on one data root, with each seed."""

    task: Task[Any, Any]
    entries: Sequence[Entry]
    data_root: Path
    scale: str = "paper"
    seeds: Sequence[int] = (0,)
    device: str = "auto"
    launcher: str = "none"  # none, torchrun or slurm
    gpus: int = 1
    nodes: int = 1
    rendezvous: str | None = None
    slurm: Slurm = field(default_factory=Slurm)

    @property
    def launch(self) -> Launch:
        """How each job is started; :class:`InputError` for combinations that make no sense."""
        shared = self.task.shared_by
        if self.gpus < 1 or self.nodes < 1:
            raise InputError(f"--gpus is {self.gpus} and --nodes {self.nodes}: give numbers of 1 or more")
        if self.nodes > 1 and self.launcher == "none":
            raise InputError("--nodes takes --launcher torchrun or slurm")
        if self.nodes > 1 and self.launcher == "torchrun" and not self.rendezvous:
            raise InputError("--nodes with torchrun takes --rdzv-endpoint HOST:PORT, the same on every machine")
        if self.nodes > 1 and shared != "processes":
            raise InputError(f"a job of {self.task.name} is one machine's: leave --nodes out")
        if self.side_by_side > len(gpus := visible_gpus()) > 0:
            raise InputError(f"--gpus {self.gpus}, but torch finds {len(gpus)} here: give that many at most")
        if shared == "nobody" or self.launcher == "none":
            return Launch()
        # A SLURM job is one task a machine, which starts the processes there.
        several = self.launcher == "torchrun" or self.gpus * self.nodes > 1
        return Launch("torchrun", self.gpus, self.nodes) if several else Launch()

    @property
    def side_by_side(self) -> int:
        """How many jobs run here at once."""
        return self.gpus if self.launcher == "none" or self.task.shared_by == "nobody" else 1


def expand(request: Request, ahead: bool = False) -> tuple[list[Job], Any]:
    """A job for each entry and, where chance takes part, each seed; and the opened data.

    Everything that can be checked without running is checked; ``ahead``: and foreseen, for a dry run.
    :class:`InputError` for what cannot be used, and for two entries that are the same job.
    """
    task, launch = request.task, request.launch
    jobs: dict[str, Job] = {}
    data: Any = None
    opened: Any = None
    for entry in request.entries:
        if opened is None or entry.settings != opened:
            data, opened = task.open(request.data_root, request.scale, entry.settings), entry.settings
            mark = task.fingerprint(data)
        if task.needs == "weights" and entry.model is not None:
            entry.model.weights(task.name)
        plan = task.plan(entry.model, data, entry.settings, request.scale, launch)  # type: ignore[arg-type]
        more = task.foresee(entry.model, data, entry.settings, request.scale, launch) if ahead and entry.model else ()
        settings, deciding = of_settings.to_json(entry.settings), of_settings.deciding(entry.settings)
        for seed in dict.fromkeys(request.seeds if task.seeded else [0]):
            job = make_job(
                task, entry.model, entry.name + plan.variant, request.scale, seed, settings, deciding, plan.protocol,
                plan.resolved, request.data_root, mark, launch, request.device, (*plan.details, *more),
            )  # fmt: skip
            if job.hash in jobs:
                same = f"{jobs[job.hash].name} and {job.name}"
                raise InputError(f"{same} are the same weights with the same settings: leave one out")
            jobs[job.hash] = job
    return list(jobs.values()), data


def listing(jobs: Sequence[Job], out: Path, command: Mapping[Job, str], cost: Mapping[Job, str]) -> list[str]:
    """Each job with its state, cost and command, then the sum."""
    done = recorded(out)
    states = {job: job.state(out, done) for job in jobs}
    lines = []
    for job in jobs:
        lines.append(f"job {job.hash}: {job.name}, seed {job.seed}: {states[job]}; {cost[job]}")
        lines += [f"  {line}" for line in job.details]
        lines.append(f"  {command[job]}")
    todo = sum(state != "done" for state in states.values())
    lines.append(f"{len(jobs)} jobs, {len(jobs) - todo} done, {todo} to do")
    return lines


def chosen(jobs: Iterable[Job], name: str) -> Job:
    """The job of that hash; :class:`InputError` names those that there are."""
    found = {job.hash: job for job in jobs}
    if name not in found:
        raise InputError(
            f"--job {name} is none of this command's: {', '.join(found)} "
            "(a job's name changes with its checkpoint, data, settings and task)"
        )
    return found[name]
