"""The one runner: it expands a request into jobs, says what would run, runs what is missing, and gives the results.

Each job is a process of its own that writes its own record. What is recorded is done and never done again; what was
interrupted goes on in its folder; what fails leaves the others alone.
"""

from __future__ import annotations

import datetime
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.claim import LOCK, held, holder
from benchmarks.core import settings as of_settings
from benchmarks.core.data import Fingerprint
from benchmarks.core.environment import device_text
from benchmarks.core.job import Job, make_job, read_job, recorded
from benchmarks.core.launch import (
    Command,
    Slurm,
    process_command,
    run_here,
    run_on_slurm,
    stopped_by_sigterm,
    visible_gpus,
)
from benchmarks.core.model import Model
from benchmarks.core.result import Result, read_results, seconds_since
from benchmarks.core.task import Launch, Place, Task, scale_or_error
from benchmarks.core.tasks import task_named
from benchmarks.devices import say_device
from benchmarks.errors import InputError
from benchmarks.processes import is_first_process, leave


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


def run_missing(request: Request, jobs: Sequence[Job], out: Path) -> dict[Job, str]:
    """Run what has no record in ``out``; the one line of error of each job that failed."""
    done, launch = recorded(out), request.launch
    for job in jobs:
        if holder(out / job.label) is None:
            _sweep(out / "records", f".*-{job.hash}.*")
    pending = [job for job in jobs if job.hash not in done]
    failures: dict[Job, str] = {}
    if not pending:
        return failures
    request.task.require(request.scale, request.device)
    outer = launch if request.task.shared_by == "processes" else Launch()
    commands: dict[Command, Job] = {}
    for job in pending:
        script = ["-m", "benchmarks.core.worker", str(job.write(out))]
        words = process_command(script, outer, request.rendezvous, job.hash)
        commands[Command(job.label, tuple(words), out / "logs" / f"{job.label}.log")] = job
    began, left = time.monotonic(), set(commands)

    def report(command: Command, error: str | None) -> None:
        job = commands[command]
        left.discard(command)
        if error is None and job.hash not in recorded(out):
            error = "ended without a record"
        if error is not None:
            failures[job] = error
        minutes = (time.monotonic() - began) / 60
        outcome = "done" if error is None else f"failed: {error}"
        print(f"[{len(pending) - len(left)}/{len(pending)}, {minutes:.1f} min] {job.label} {outcome}", file=sys.stderr)

    with stopped_by_sigterm():
        if request.launcher == "slurm":
            gpus = 1 if request.task.shared_by == "nobody" else request.gpus
            run_on_slurm(list(commands), gpus, request.nodes, request.slurm, out / "logs" / "slurm", report)
        else:
            run_here(list(commands), min(request.side_by_side, len(commands)), report)
    return failures


def work(
    job: Job,
    out: Path,
    model: Model | None = None,
    progress: bool = True,
    task: Task[Any, Any] | None = None,
) -> Result | None:
    """Do one job in this process and write its record into ``out/records``.

    None where it is recorded already, and in all processes but the first. ``model`` is for one that has no file, and
    ``task`` for one that is in no list.
    """
    task = task or task_named(job.task)
    folder, launch = out / job.label, Launch(**job.launch)
    if not is_first_process():
        if job.hash not in recorded(out):
            _run(task, job, folder, launch, model, progress)
        return None
    with held(folder) as claim:
        if job.hash in (done := recorded(out)):
            print(f"done already: {done[job.hash]}", file=sys.stderr)
            return None
        _sweep(folder, ".*")
        started = datetime.datetime.now(datetime.timezone.utc)
        own = Launch(launch.launcher, launch.gpus, launch.nodes, claim)
        outcome, model = _run(task, job, folder, own, model, progress)
        judged = outcome.model or model
        assert judged is not None
        result = Result(
            benchmark=task.benchmark,
            task=task.name,
            task_version=task.version,
            protocol=job.protocol,
            scale=job.scale,
            name=job.name,
            metrics=dict(outcome.metrics),
            interval=dict(outcome.interval),
            run=dict(outcome.run),
            settings=dict(job.settings),
            seed=job.seed,
            checkpoint={"sha256": judged.sha256, "card": judged.card.to_dict()},
            attribution=judged.attribution.to_dict(),
            data=dict(job.fingerprint),
            device=device_text(task.device(job.device)),
            started=started.isoformat(timespec="seconds"),
            seconds=seconds_since(started),
            command=list(job.command),
            job=job.hash,
            study=job.study,
            artefacts=folder.name,
        )
        path = result.write(out / "records")
        print(f"record: {path}", file=sys.stderr)
    return result


def _run(
    task: Task[Any, Any], job: Job, folder: Path, launch: Launch, model: Model | None, progress: bool
) -> tuple[Any, Model | None]:
    """Open what the job names, see that it is still what was planned, and run."""
    model = model or job.model()
    settings = of_settings.from_json(type(task.settings(job.scale)), job.settings)
    data = task.open(Path(job.data_root), job.scale, settings)
    plan = task.plan(model, data, settings, job.scale, launch)  # type: ignore[arg-type]
    mark = task.fingerprint(data) if is_first_process() else Fingerprint(**job.fingerprint)
    now = make_job(
        task, model, job.name, job.scale, job.seed, job.settings, job.deciding, plan.protocol, plan.resolved,
        Path(job.data_root), mark, launch, job.device,
    )  # fmt: skip
    for part in ("data", "resolved", "version"):
        if now.identity[part] != job.identity[part]:
            raise InputError(f"{part} of {job.label} has changed since it was planned: start the command again")
    say_device(job.device)
    place = Place(folder, job.device, launch, job.seed, progress and is_first_process())
    return task.run(model, data, settings, job.scale, place), model  # type: ignore[arg-type]


def evaluate(
    model: Model,
    task: str | Task[Any, Any],
    data_root: str | Path,
    scale: str = "paper",
    out: str | Path = "runs",
    seed: int = 0,
    device: str = "auto",
    progress: bool = True,
    settings: Mapping[str, Any] | None = None,
) -> Result:
    """Judge ``model`` by one task, in this process.

    The record is written into ``out/records``; what has one already is read from it. ``settings`` replaces fields of
    the protocol's settings, which makes it another job. Raises :class:`InputError` for what cannot be used.
    """
    found = task_named(task) if isinstance(task, str) else task
    own = of_settings.change(found.settings(scale_or_error(scale)), settings or {})
    out = Path(out)
    (job,), _ = expand(Request(found, [Entry(model.name, model, own)], Path(data_root), scale, [seed], device))
    done = recorded(out)
    if job.hash not in done:
        found.require(scale, device)
        job.write(out)
        result = work(job, out, model, progress, found)
        if result is not None:
            return result
    return next(result for result in read_results(out / "records") if result.job == job.hash)


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


def work_on_file(path: Path) -> None:
    """What a worker process does: the job of a file, in the folder above the file's."""
    try:
        work(read_job(path), path.parent.parent)
    finally:
        leave()


def _sweep(folder: Path, names: str) -> None:
    """Remove what a killed process was writing in ``folder``: it has a name with a dot first until it is whole."""
    for path in folder.rglob(names):
        if path.is_file() and path.name != LOCK:
            path.unlink()
