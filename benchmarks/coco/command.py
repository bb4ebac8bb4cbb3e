"""The command line that Tables 1 and 2 share."""

from __future__ import annotations

import argparse
import dataclasses
import sys
import typing
from pathlib import Path

from benchmarks.checkpoints.convert import canonical
from benchmarks.coco.recipe import Options
from benchmarks.coco.scoring import BOX_SCORERS, box_scorer
from benchmarks.coco.table import judge, make_study, open_data, plan, report
from benchmarks.engines.mmdet_launch import is_first_process, relaunch
from benchmarks.errors import InputError
from benchmarks.files import write_json
from benchmarks.records import read_records
from benchmarks.tables.command import named


def add_flags(parser: argparse.ArgumentParser) -> None:
    """One flag for each of :class:`Options`, and who scores the boxes."""
    parser.set_defaults(engine="mmdet")
    group = parser.add_argument_group("changes of the recipe (default: the config's)")
    kinds = typing.get_type_hints(Options)
    for field in dataclasses.fields(Options):
        kind = next(kind for kind in typing.get_args(kinds[field.name]) if kind is not type(None))
        group.add_argument(f"--{field.name.replace('_', '-')}", type=kind, help=field.metadata["help"])
    parser.add_argument("--boxes-by", choices=BOX_SCORERS, default=BOX_SCORERS[0], help="default: %(default)s")


def run_table(number: int, args: argparse.Namespace, **variant: bool) -> int:
    """Everything after the arguments are there; returns the exit code."""
    if args.device != "auto":
        raise InputError("--device: detectors train on the GPU where there is one; CUDA_VISIBLE_DEVICES= hides it")
    options = Options(**{field.name: getattr(args, field.name) for field in dataclasses.fields(Options)})
    study = make_study(number, args.scale, args.engine, options, boxes_by=args.boxes_by, **variant)
    box_scorer(args.boxes_by)
    checkpoints = {name: canonical(path, heads=args.heads) for name, path in named(args.checkpoint).items()}
    data = open_data(args.data_root, args.scale)
    study.engine.require()
    if args.dry_run:
        print(plan(study, checkpoints, data, args.seeds, args.gpus))
        return 0
    code = relaunch(args.launcher, args.gpus, sys.argv)
    if code is not None:
        return code
    out = Path(args.out)
    judge(study, checkpoints, data, out, args.seeds, args.launcher, args.gpus)
    if is_first_process():
        print(report(study, checkpoints, data, out, args.seeds[0]))
        print(f"records: {out / 'records'}   pictures: {out / 'pictures'}")
        if args.json:
            write_json(args.json, read_records(out / "records"))
    return 0
