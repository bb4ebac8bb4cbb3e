"""The whole of ``tools/tableN.py``: a task's jobs, run and put beside the paper's numbers."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.core import settings as of_settings
from benchmarks.core.command import (
    add_frozen_flag,
    add_origin_flags,
    add_run_flags,
    alone,
    draw,
    models,
    named,
    report_failures,
    request,
)
from benchmarks.core.job import Job, recorded
from benchmarks.core.model import Model
from benchmarks.core.request import Entry, chosen, expand, listing
from benchmarks.core.result import Result, read_results
from benchmarks.core.runner import run_missing, work
from benchmarks.core.task import Task
from benchmarks.core.tasks import frozen
from benchmarks.errors import InputError, command_parser
from benchmarks.files import write_json, write_text
from benchmarks.processes import leave
from benchmarks.tables.ablation import Ablation
from benchmarks.tables.paper import Cost, Table, architecture_name
from benchmarks.tables.render import SUFFIXES, Sheet, render, sheet

ENGINES = ("mmdet", "detectron2")


@dataclass(frozen=True)
class TableCommand:
    """A table, the task that fills it, and what is its own.

    ``variant`` is the flag, its value in the settings and its help; ``more`` gives tables beyond the paper's.
    """

    table: Table
    task: Task[Any, Any]
    doc: str
    example: str
    engines: Sequence[str] = ()
    variant: tuple[str, str, str] | None = None
    ablation: Ablation | None = None
    more: Callable[[Table, Sequence[Result]], list[Sheet]] = lambda table, results: []

    def parser(self) -> argparse.ArgumentParser:
        """The arguments of every table, then the task's own."""
        parser = command_parser(self.doc, self.example)
        parser.add_argument(
            "--checkpoint", action="append", required=self.ablation is None, default=[],
            metavar="NAME=PATH[,method=...,epochs=...,data=...]", help="repeat it",
        )  # fmt: skip
        add_run_flags(parser)
        add_frozen_flag(parser)
        parser.add_argument("--format", choices=tuple(SUFFIXES), default="text", help="of the table (default: text)")
        text = f"default: {self.engines[0]}" if self.engines else "for all tables alike; this one needs none"
        parser.add_argument("--engine", choices=self.engines or ENGINES, default=None, help=text)
        if self.ablation is None:
            taken = [field.name for field in of_settings.fields_with_help(type(self.task.settings("paper")))]
            add_origin_flags(parser, taken)
            of_settings.add_flags(parser, {scale: self.task.settings(scale) for scale in ("paper", "mini")})
        else:
            parser.add_argument("--settings", nargs="+", help="run these only; default: all of the table")
            parser.add_argument("--epochs", type=int, help="of pretraining; default: the scale's own (paper: 100)")
        if self.variant:
            parser.add_argument(self.variant[0], dest="variant", action="store_true", help=self.variant[2])
        return parser

    def entries(self, args: argparse.Namespace) -> list[Entry]:
        """What to judge: each checkpoint, or each setting of an ablation."""
        given = models(named(args.checkpoint), args)
        if self.ablation:
            return _settings(self.ablation, self.task, args, given)
        settings = of_settings.from_flags(args, self.task.settings(args.scale))
        own = {"engine": args.engine or self.engines[0]} if "engine" in vars(settings) else {}
        if self.variant and args.variant:
            own["variant"] = self.variant[1]
        settings = dataclasses.replace(settings, **own)
        return [Entry(name, model, settings) for name, model in given.items()]

    def run(self) -> int:
        """Parse, plan, run, render. Returns the exit code."""
        args = self.parser().parse_args()
        return (self._frozen() if args.frozen else self)._run(args)

    def _frozen(self) -> TableCommand:
        """The same for the task of a frozen network, beside whose results nobody's stand."""
        task = frozen(self.task)
        if task is self.task:
            return self
        table = dataclasses.replace(
            self.table,
            number=f"{self.table.stem}_frozen",
            title=f"{task.title}, in percent",
            benchmark=task.benchmark,
            source="nobody's rows: none is published under this protocol",
            rows=(),
            flags=(),
            version=task.version,
            costs={"": Cost(None, "none published")},
            mini_minutes=task.mini_minutes,
        )
        return dataclasses.replace(self, task=task, table=table)

    def _run(self, args: argparse.Namespace) -> int:
        self._say_what_is_idle(args)
        out = Path(args.out)
        wanted = request(self.task, self.entries(args), args)
        jobs, data = expand(wanted, ahead=args.dry_run)
        if args.job:
            try:
                job = chosen(jobs, args.job)
                job.write(out)
                if work(job, out) is None:
                    print(f"done already: {recorded(out).get(job.hash, job.label)}")
                return 0
            finally:
                leave()
        if args.dry_run:
            costs = {job: self._cost(job, wanted.entries) for job in jobs}
            print("\n".join(self.task.describe(data, wanted.entries[0].settings)))
            print("\n".join(listing(jobs, out, {job: alone(job) for job in jobs}, costs)))
            return 0
        failures = run_missing(wanted, jobs, out)
        results = read_results(out / "records")
        fault = draw(wanted, jobs, data, out)
        if fault:
            print(fault, file=sys.stderr)
        pages = {page.stem: render(page, args.format) for page in self.sheets(results)}
        for stem, text in pages.items():
            write_text(out / f"{stem}.{SUFFIXES[args.format]}", text + "\n")
        print("\n\n".join(pages.values()))
        print(f"records: {out / 'records'}   pictures: {out / 'pictures'}   logs: {out / 'logs'}", file=sys.stderr)
        if args.json:
            write_json(args.json, [result.to_dict() for result in results])
        return report_failures(failures, jobs, out) or (1 if fault else 0)

    def sheets(self, results: Sequence[Result]) -> list[Sheet]:
        """The tables; the paper's first."""
        return [sheet(self.table, results), *self.more(self.table, results)]

    def _cost(self, job: Job, entries: Sequence[Entry]) -> str:
        model = next((entry.model for entry in entries if job.name.startswith(entry.name)), None)
        backbone = architecture_name(model.card.to_dict()["architecture"]) if model else "ViT-S/16"
        return self.table.cost(job.scale, backbone)

    def _say_what_is_idle(self, args: argparse.Namespace) -> None:
        """An option that every table has and that changes nothing in this one is said to."""
        if args.engine and not self.engines:
            print(f"note: no engine takes part here: --engine {args.engine} changes nothing", file=sys.stderr)
        if args.frozen and self.task.needs == "features":
            print("note: the network is frozen here: --frozen changes nothing", file=sys.stderr)
        if args.seeds != [0] and not self.task.seeded:
            print("note: no chance takes part here: --seeds changes nothing", file=sys.stderr)


def _settings(
    ablation: Ablation, task: Task[Any, Any], args: argparse.Namespace, given: Mapping[str, Model]
) -> list[Entry]:
    """An entry for each setting; it pretrains, unless it was given a checkpoint."""
    cells = {setting.name: setting for setting in ablation.at(args.scale)}
    for name in (*(args.settings or ()), *given):
        if name not in cells:
            raise InputError(
                f"{name} is no setting of Table {ablation.table.number} at scale {args.scale}: {', '.join(cells)}"
            )
    entries = []
    for name in args.settings or cells:
        usual = task.settings(args.scale)
        own = dataclasses.replace(usual.pretraining, overrides=cells[name].overrides)
        if args.epochs is not None:
            if args.epochs < 1:
                raise InputError(f"--epochs {args.epochs}: give 1 or more")
            own = dataclasses.replace(own, epochs=args.epochs)
        model = given.get(name)
        protocol = usual.protocol
        if model is not None:  # the published program knows patch 16 only
            protocol = "official" if model.patch_size == 16 else "corrected"
        entries.append(Entry(name, model, dataclasses.replace(usual, pretraining=own, protocol=protocol)))
    return entries
