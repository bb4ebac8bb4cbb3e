"""What every command that judges asks on its command line: models, data, scale, seeds, and how to launch."""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import SUITE
from benchmarks.core.job import Job, recorded
from benchmarks.core.launch import Slurm
from benchmarks.core.model import Model, load_model
from benchmarks.core.request import Entry, Request
from benchmarks.core.settings import from_json
from benchmarks.core.task import Task
from benchmarks.devices import add_device_argument
from benchmarks.errors import InputError

#: What may follow a checkpoint after commas.
_FACTS = ("method", "epochs", "data", "heads")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def add_run_flags(parser: argparse.ArgumentParser, data_root: bool = True) -> None:
    """Where the data and the results are, scale, seeds and launching."""
    parser.add_argument("--data-root", required=data_root, help="folder with the data sets in their own layouts")
    parser.add_argument("--out", required=True, help="records, tables, pictures, logs and everything else go there")
    parser.add_argument("--scale", choices=("paper", "mini"), default="paper", help="default: %(default)s")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="one run each, where chance takes part")
    parser.add_argument("--heads", type=int, help="attention heads, where a foreign checkpoint does not say")
    add_device_argument(parser)
    parser.add_argument("--dry-run", action="store_true", help="check everything, list the jobs and stop")
    parser.add_argument("--json", metavar="FILE", help="write the records to this file as well")
    parser.add_argument("--job", metavar="HASH", help="do this one of the jobs, in this process; --dry-run lists them")
    parser.add_argument("--launcher", choices=("none", "torchrun", "slurm"), default="none")
    parser.add_argument(
        "--gpus", type=int, default=1,
        help="launcher none: jobs side by side, one a GPU; torchrun, slurm: processes of a job, where it shares work",
    )  # fmt: skip
    group = parser.add_argument_group("several machines, SLURM")
    group.add_argument("--nodes", type=int, default=1, help="machines a job (default: 1)")
    group.add_argument(
        "--rdzv-endpoint", metavar="HOST:PORT", help="torchrun on several machines: start the same command on each"
    )
    for name, value in vars(Slurm()).items():
        kind = str if value is None else type(value)
        group.add_argument(f"--slurm-{name.replace('_', '-')}", type=kind, default=value, help=f"default: {value}")


def add_frozen_flag(parser: argparse.ArgumentParser) -> None:
    """Another protocol for the same detector."""
    parser.add_argument(
        "--frozen", action="store_true",
        help="leave the network as it is and train what follows: coco-mask-rcnn-frozen and coco-vitdet-frozen",
    )  # fmt: skip


def add_origin_flags(parser: argparse.ArgumentParser, taken: Sequence[str] = ()) -> None:
    """Whose weights one checkpoint holds, on the user's word; ``taken`` are names that mean something else there."""
    group = parser.add_argument_group("whose weights these are, where the file does not say (one checkpoint)")
    group.add_argument("--method", help="such as DINO: held against the rows of this method")
    if "epochs" not in taken:
        group.add_argument("--epochs", type=int, help="of its pretraining")
    group.add_argument("--data", help="of its pretraining, such as IN-1k")


def named(entries: Sequence[str], flag: str = "--checkpoint") -> dict[str, str]:
    """``NAME=PATH`` entries as a dictionary; names become parts of file names."""
    found: dict[str, str] = {}
    for entry in entries:
        name, equals, path = entry.partition("=")
        if not equals or not path or not _NAME.fullmatch(name):
            raise InputError(f"{flag} {entry} is not NAME=PATH with a name of letters, digits, - _ and .")
        if name in found:
            raise InputError(f"{flag} names {name} twice: choose another name for one of them")
        found[name] = path
    return found


def models(entries: Mapping[str, str], args: argparse.Namespace) -> dict[str, Model]:
    """Name -> model of ``PATH[,method=...,epochs=...,data=...,heads=...]``."""
    common = {key: getattr(args, key, None) for key in ("method", "epochs", "data")}
    if common["method"] is None and not common["data"]:
        common["epochs"] = None  # without a method it is a setting of the task
    if any(value is not None for value in common.values()) and len(entries) != 1:
        raise InputError("--method, --epochs and --data are for one checkpoint: say NAME=PATH,method=... for each")
    found = {}
    for name, text in entries.items():
        source, facts = _facts(text)
        said: dict[str, Any] = {**common, "heads": args.heads, **facts}
        found[name] = load_model(source, name=name, **said)
    return found


def _facts(text: str) -> tuple[str, dict[str, Any]]:
    """A checkpoint and what is said about it after commas."""
    facts: dict[str, Any] = {}
    while match := re.fullmatch(rf"(.+),({'|'.join(_FACTS)})=([^,]*)", text):
        text, key, value = match.groups()
        if not value or (key in ("epochs", "heads") and not value.isdigit()):
            raise InputError(f"{key}={value}: give {'a whole number' if key in ('epochs', 'heads') else 'a name'}")
        facts[key] = int(value) if key in ("epochs", "heads") else value
    return text, facts


def request(task: Task[Any, Any], entries: Sequence[Entry], args: argparse.Namespace) -> Request:
    """What a command line asks for."""
    slurm = Slurm(**{name: getattr(args, f"slurm_{name}") for name in vars(Slurm())})
    return Request(
        task, entries, Path(args.data_root), args.scale, args.seeds, args.device, args.launcher, args.gpus, args.nodes,
        args.rdzv_endpoint, slurm,
    )  # fmt: skip


def alone(job: Job) -> str:
    """The command that does one job of this command and no other."""
    words = [word for word in sys.argv[1:] if word != "--dry-run"]
    return shlex.join(["python", *script(), *words, "--job", job.hash])


def script() -> list[str]:
    """The program that is running, as one would type it here, with what follows ``flsl-bench``."""
    main, own = sys.modules["__main__"], sys.argv[0]
    chosen = own.split()[1:] if own.startswith(f"{SUITE} ") else []
    package = getattr(getattr(main, "__spec__", None), "parent", None)
    if package:
        return ["-m", package, *chosen]
    path = os.path.abspath(getattr(main, "__file__", None) or own.split()[0])
    near = os.path.relpath(path)
    return [path if near.startswith("..") else near, *chosen]


def draw(wanted: Request, jobs: Sequence[Job], data: Any, out: Path) -> str | None:
    """Draw what is recorded and has its folder, by settings; the one line of error where that fails."""
    folders: dict[str, dict[str, Path]] = {}
    done = recorded(out)
    for job in jobs:
        if job.hash in done and (out / job.label).is_dir():
            folders.setdefault(json.dumps(job.settings), {})[job.label] = out / job.label
    kind = type(wanted.entries[0].settings)
    try:
        for text, own in folders.items():
            wanted.task.draw(data, from_json(kind, json.loads(text)), own, out / "pictures")
    except Exception as error:  # the scores are there: a picture that cannot be drawn must not hide them
        return f"no pictures: {type(error).__name__}: {' '.join(str(error).split())}"
    return None


def report_failures(failures: Mapping[Job, str], jobs: Sequence[Job], out: Path) -> int:
    """Say what failed; 1 if anything did."""
    for job, error in failures.items():
        print(f"failed: {job.label}: {error} (log: {out / 'logs' / job.label}.log)", file=sys.stderr)
    if failures:
        print(f"{len(failures)} of {len(jobs)} jobs failed; the same command runs them again", file=sys.stderr)
    return 1 if failures else 0
