"""Judge models by tasks: every model by every task, what is done already left alone, one table at the end."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.core.command import (
    add_frozen_flag,
    add_origin_flags,
    add_run_flags,
    alone,
    draw,
    models,
    report_failures,
    request,
)
from benchmarks.core.job import Job, recorded
from benchmarks.core.model import Model, name_of
from benchmarks.core.request import Entry, Request, chosen, expand, listing
from benchmarks.core.result import read_results
from benchmarks.core.runner import run_missing, work
from benchmarks.core.task import Task
from benchmarks.core.tasks import frozen, task_named, tasks
from benchmarks.errors import InputError, command_parser
from benchmarks.files import write_json
from benchmarks.processes import leave
from benchmarks.tables import overview

EXAMPLE = "flsl-bench run dino=dino_s16.pth --tasks davis,knn --data-root data --out runs/dino --scale mini"

#: Not of "all": it pretrains, and takes no model.
NOT_OF_ALL = ("knn-of-pretraining",)


def main() -> int:
    """Parse, plan, run, print the table. Returns the exit code."""
    args = _parser().parse_args()
    out = Path(args.out)
    judged = models(_named(args.models), args)
    plans, skipped = _plans(args, list(judged.values()))
    jobs = [job for _, own, _ in plans for job in own]
    if args.job:
        try:
            job = chosen(jobs, args.job)
            job.write(out)
            work(job, out)
            return 0
        finally:
            leave()
    if args.dry_run:
        for wanted, own, data in plans:
            cost = f"about {wanted.task.mini_minutes:g} min on a core" if args.scale == "mini" else wanted.task.cost
            print(f"== {wanted.task.name}: {wanted.task.title}")
            print("\n".join(wanted.task.describe(data, wanted.entries[0].settings)))
            print("\n".join(listing(own, out, {job: alone(job) for job in own}, dict.fromkeys(own, cost))))
        _say(skipped)
        return 0
    failures: dict[Job, str] = {}
    code = 0
    for wanted, own, data in plans:
        failures |= run_missing(wanted, own, out)
        if fault := draw(wanted, own, data, out):
            print(f"{wanted.task.name}: {fault}", file=sys.stderr)
            code = 1
    have = recorded(out)
    hashes = {job.hash for job in jobs if job.hash in have}
    results = [result for result in read_results(out / "records") if result.job in hashes]
    if results:
        print(overview.text(results))
    _say(skipped)
    print(f"records: {out / 'records'}   pictures: {out / 'pictures'}   logs: {out / 'logs'}", file=sys.stderr)
    if args.json:
        write_json(args.json, [result.to_dict() for result in results])
    return report_failures(failures, jobs, out) or code


def _parser() -> argparse.ArgumentParser:
    parser = command_parser(__doc__ or "", EXAMPLE)
    parser.add_argument(
        "models", nargs="+", metavar="[NAME=]MODEL", help="a checkpoint: file, folder or name; [,method=...,epochs=...]"
    )
    parser.add_argument("--tasks", required=True, help="names separated by commas, or all that the data allows: all")
    add_run_flags(parser)
    add_frozen_flag(parser)
    add_origin_flags(parser)
    return parser


def _named(entries: Sequence[str]) -> dict[str, str]:
    """``NAME=MODEL``, or MODEL alone, whose file's name is its name."""
    found: dict[str, str] = {}
    for entry in entries:
        name, equals, source = entry.partition("=")
        if not equals or any(mark in name for mark in "/:,\\") or Path(entry).exists():
            source = entry
            name = name_of(entry.partition(",")[0])
        if not source or not name:
            raise InputError(f"{entry}: give MODEL or NAME=MODEL")
        if name in found:
            raise InputError(f"two models are called {name}: name them, NAME=MODEL")
        found[name] = source
    return found


def _plans(
    args: argparse.Namespace, judged: Sequence[Model]
) -> tuple[list[tuple[Request, list[Job], Any]], dict[str, str]]:
    """For each task its request, jobs and data; and why a task of "all", or a model in it, has none.

    A task that was named must run, or nothing does. Of "all" what cannot run is an answer with its reason.
    """
    everything = args.tasks == "all"
    names = [name for name in tasks() if name not in NOT_OF_ALL] if everything else args.tasks.split(",")
    plans: list[tuple[Request, list[Job], Any]] = []
    skipped: dict[str, str] = {}
    for task in _wanted(dict.fromkeys(names), args.frozen, skipped if everything else None):
        if task.name in NOT_OF_ALL:
            raise InputError(f"{task.name} pretrains its own models: tools/table5.py and table6.py run it")
        entries = [Entry(model.name, model, task.settings(args.scale)) for model in judged]
        if everything and _reason(request(task, entries, args), args):
            reasons = {entry.name: _reason(request(task, [entry], args), args) for entry in entries}
            entries = [entry for entry in entries if not reasons[entry.name]]
            given = {f"{task.name}, {name}": reason for name, reason in reasons.items() if reason}
            if not entries and len(set(given.values())) == 1:
                given = {task.name: next(iter(given.values()))}
            skipped |= given
        if entries:
            wanted = request(task, entries, args)
            plans.append((wanted, *expand(wanted, ahead=args.dry_run)))
    if not plans:
        _say(skipped)
        raise InputError("none of the tasks can run: the lines above say why")
    return plans, skipped


def _wanted(names: Iterable[str], by_frozen: bool, skipped: dict[str, str] | None) -> list[Task[Any, Any]]:
    """The tasks of these names, each once; with ``by_frozen`` those of a frozen network. ``skipped`` gets others."""
    found: dict[str, Task[Any, Any]] = {}
    for name in names:
        task = task_named(name.strip())
        try:
            task = frozen(task) if by_frozen else task
        except InputError as error:
            if skipped is None:
                raise
            skipped[task.name] = str(error)
            continue
        found[task.name] = task
    return list(found.values())


def _reason(wanted: Request, args: argparse.Namespace) -> str | None:
    """Why a request cannot run here; None where it can."""
    try:
        expand(wanted)
        if not args.dry_run:
            wanted.task.require(args.scale, args.device)
    except InputError as error:
        return str(error)
    return None


def _say(skipped: dict[str, str]) -> None:
    for name, reason in skipped.items():
        print(f"not run: {name}: {' '.join(reason.split())}", file=sys.stderr)
