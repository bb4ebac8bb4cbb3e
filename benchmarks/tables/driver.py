"""One driver under all tables: it expands a command into jobs, runs what is missing, and renders the records.

Each job is a process of its own that writes its own record. What is recorded is done and never done again; what was
interrupted goes on in its folder; what fails leaves the others alone.
"""

from __future__ import annotations

import argparse
import datetime
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.checkpoints.convert import canonical
from benchmarks.claim import LOCK, held, holder
from benchmarks.errors import InputError
from benchmarks.files import write_json, write_text
from benchmarks.processes import is_first_process, leave
from benchmarks.records import make_record, read_records, write_record
from benchmarks.tables import launchers
from benchmarks.tables.benchmark import Benchmark, Launch
from benchmarks.tables.command import (
    arguments_for,
    check_launch,
    named,
    script,
    shown,
    side_by_side,
    slurm_of,
    table_parser,
)
from benchmarks.tables.jobs import MARK, Job, devices_of, recorded
from benchmarks.tables.render import SUFFIXES, render

#: What of a command line is about the whole table and not about one job of it.
_WHOLE = {"dry_run": False, "json": None, "format": "text", "launcher": "none", "gpus": 1, "nodes": 1,
          "rdzv_endpoint": None, **{f"slurm_{k}": v for k, v in vars(launchers.Slurm()).items()}}  # fmt: skip


def table_command(benchmark: Benchmark, doc: str, example: str) -> int:
    """The whole of ``tools/tableN.py``: parse, plan, run, render. Returns the exit code."""
    parser = table_parser(benchmark, doc, example)
    args = parser.parse_args()
    launch, out = check_launch(args, benchmark), Path(args.out)
    checkpoints = {name: canonical(path, heads=args.heads) for name, path in named(args.checkpoint).items()}
    jobs = benchmark.open(args, checkpoints)
    if args.job:
        try:
            return _work(benchmark, _chosen(jobs, args.job), out, launch)
        finally:
            leave()
    done = recorded(out)
    if args.dry_run:
        commands = {job: _alone(parser, args, job) for job in jobs}
        print("\n".join([*benchmark.lines(), *_plan(jobs, commands, out, done)]))
        return 0
    for job in jobs:
        if holder(out / job.label) is None:
            _sweep(out / "records", f".*-{job.hash}.*")
    pending = [job for job in jobs if job.hash not in done]
    if pending:
        benchmark.require()
    failures = _run(benchmark, pending, parser, args, launch, out)
    return _report(benchmark, jobs, failures, out, args)


def _plan(jobs: Sequence[Job], commands: dict[Job, list[str]], out: Path, done: dict[str, Path]) -> list[str]:
    """Each job with its state, cost and command, then the sum."""
    states = {job: job.state(out, done) for job in jobs}
    lines = []
    for job in jobs:
        cost = job.table.cost(job.scale, job.backbone)
        lines.append(f"job {job.hash}: {job.name}, seed {job.seed}: {states[job]}; {cost}")
        lines += [f"  {line}" for line in job.details]
        lines.append(f"  {shown(commands[job])}")
    todo = [job for job in jobs if states[job] != "done"]
    hours = [job.hours for job in todo if job.hours is not None]
    known = f", {sum(hours):,.0f} GPU-hours for {len(hours)} of them" if hours else ""
    lines.append(f"{len(jobs)} jobs, {len(jobs) - len(todo)} done, {len(todo)} to do{known}")
    return lines


def _alone(parser: argparse.ArgumentParser, args: argparse.Namespace, job: Job, **launch: Any) -> list[str]:
    """The command that does this job and no other."""
    return [script(), *arguments_for(parser, args, {**_WHOLE, **launch, **job.arguments, "job": job.hash})]


def _chosen(jobs: Sequence[Job], name: str) -> Job:
    for job in jobs:
        if job.hash == name:
            return job
    raise InputError(
        f"--job {name} is none of this command's: {', '.join(job.hash for job in jobs)} "
        "(a job's name changes with its checkpoint, data, config and options)"
    )


def _run(
    benchmark: Benchmark,
    pending: Sequence[Job],
    parser: argparse.ArgumentParser,
    args: argparse.Namespace,
    launch: Launch,
    out: Path,
) -> dict[Job, str]:
    """Run ``pending`` as the command line says; the one line of error of each job that failed."""
    outer = launch if benchmark.shared_by == "processes" else Launch()
    tasks = {}
    for job in pending:
        words = _alone(parser, args, job, launcher=launch.launcher, gpus=launch.gpus, nodes=launch.nodes)
        command = launchers.process_command(words, outer, args.rdzv_endpoint, job.hash)
        tasks[launchers.Task(job.label, tuple(command), out / "logs" / f"{job.label}.log")] = job
    failures: dict[Job, str] = {}
    began = time.monotonic()

    def report(task: launchers.Task, error: str | None) -> None:
        job = tasks[task]
        left.discard(job)
        if error is None and job.hash not in recorded(out):
            error = "ended without a record"
        if error is not None:
            failures[job] = error
        minutes = (time.monotonic() - began) / 60
        outcome = "done" if error is None else f"failed: {error}"
        print(f"[{len(pending) - len(left)}/{len(pending)}, {minutes:.1f} min] {job.label} {outcome}", file=sys.stderr)

    left = set(pending)
    if not pending:
        return failures
    with launchers.stopped_by_sigterm():
        if args.launcher == "slurm":
            gpus = 1 if benchmark.shared_by == "nobody" else args.gpus
            logs = out / "logs" / "slurm"
            launchers.run_on_slurm(list(tasks), gpus, args.nodes, slurm_of(args), logs, report)
        else:
            launchers.run_here(list(tasks), min(side_by_side(args, benchmark), len(tasks)), report)
    return failures


def _work(benchmark: Benchmark, job: Job, out: Path, launch: Launch) -> int:
    """Do one job in this process and write its record; nothing where that is done."""
    benchmark.require()
    if not is_first_process():
        if job.hash not in recorded(out):
            benchmark.run(job, out / job.label, launch)
        return 0
    folder = out / job.label
    with held(folder) as claim:
        if job.hash in (done := recorded(out)):
            print(f"done already: {done[job.hash]}")
            return 0
        _sweep(folder, ".*")
        begun = devices_of(folder)
        if begun not in (None, launch.devices):
            raise InputError(f"{folder} was begun on {begun} devices: go on with as many, or remove it")
        write_json(folder / MARK, {"job": job.hash, "devices": launch.devices, "identity": job.identity})
        started = datetime.datetime.now(datetime.timezone.utc)
        result = benchmark.run(job, folder, Launch(launch.launcher, launch.gpus, launch.nodes, claim))
        checkpoint = result.get("checkpoint") or job.checkpoint
        record = make_record(
            job.table.benchmark, job.protocol, job.scale, job.name, checkpoint, dict(job.data), result, job.seed,
            started, benchmark.device(), job.hash, job.study, folder.name,
        )  # fmt: skip
        print(f"record: {write_record(out / 'records', record)}")
    return 0


def _sweep(folder: Path, names: str) -> None:
    """Remove what a killed process was writing in ``folder``: it has a name with a dot first until it is whole."""
    for path in folder.rglob(names):
        if path.is_file() and path.name != LOCK:
            path.unlink()


def _report(
    benchmark: Benchmark,
    jobs: Sequence[Job],
    failures: dict[Job, str],
    out: Path,
    args: argparse.Namespace,
) -> int:
    """Draw, render, and say what failed. Returns the exit code."""
    records = read_records(out / "records")
    have = recorded(out)
    folders = {job: out / job.label for job in jobs if job.hash in have and (out / job.label).is_dir()}
    code = 0
    if folders:
        try:
            benchmark.draw(folders, out / "pictures")
        except Exception as error:  # the scores are there: a picture that cannot be drawn must not hide them
            print(f"no pictures: {type(error).__name__}: {' '.join(str(error).split())}", file=sys.stderr)
            code = 1
    pages = {page.stem: render(page, args.format) for page in benchmark.sheets(records)}
    for stem, text in pages.items():
        write_text(out / f"{stem}.{SUFFIXES[args.format]}", text + "\n")
    print("\n\n".join(pages.values()))
    print(f"records: {out / 'records'}   pictures: {out / 'pictures'}   logs: {out / 'logs'}", file=sys.stderr)
    if args.json:
        write_json(args.json, records)
    for job, error in failures.items():
        print(f"failed: {job.label}: {error} (log: {out / 'logs' / job.label}.log)", file=sys.stderr)
    if failures:
        print(f"{len(failures)} of {len(jobs)} jobs failed; the same command runs them again", file=sys.stderr)
    return 1 if failures else code
