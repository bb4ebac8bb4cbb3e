"""The one runner: it runs the jobs that have no record yet, and gives the results.

Each job is a process of its own that writes its own record. What is recorded is done and never done again; what was
interrupted goes on in its folder; what fails leaves the others alone.
"""

from __future__ import annotations

import datetime
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.claim import LOCK, held, holder
from benchmarks.core import settings as of_settings
from benchmarks.core.data import Fingerprint
from benchmarks.core.environment import device_text
from benchmarks.core.job import Job, make_job, read_job, recorded
from benchmarks.core.launch import Command, process_command, run_here, run_on_slurm, stopped_by_sigterm
from benchmarks.core.model import Model
from benchmarks.core.request import Entry, Request, expand
from benchmarks.core.result import Result, read_results, seconds_since
from benchmarks.core.task import Launch, Place, Task, scale_or_error
from benchmarks.core.tasks import task_named
from benchmarks.devices import say_device
from benchmarks.errors import InputError
from benchmarks.processes import is_first_process, leave


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
