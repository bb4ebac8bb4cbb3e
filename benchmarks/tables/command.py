"""The command line that the tables share, and how to write one down again."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Mapping
from typing import Any

from benchmarks.devices import add_device_argument
from benchmarks.errors import InputError, command_parser
from benchmarks.tables.benchmark import Benchmark, Launch
from benchmarks.tables.launchers import Slurm, visible_gpus
from benchmarks.tables.render import SUFFIXES

ENGINES = ("mmdet", "detectron2")


def table_parser(benchmark: Benchmark, doc: str, example: str) -> argparse.ArgumentParser:
    """A parser with the arguments of every table, then the benchmark's own."""
    engines = benchmark.engines
    parser = command_parser(doc, example)
    parser.add_argument(
        "--checkpoint",
        action="append",
        required=benchmark.takes_checkpoints,
        default=[],
        metavar="NAME=PATH",
        help="repeat it",
    )
    parser.add_argument("--data-root", required=True, help="folder with the data sets in their own layouts")
    parser.add_argument("--out", required=True, help="records, tables, pictures, logs and everything else go there")
    parser.add_argument("--scale", choices=("paper", "mini"), default="paper")
    parser.add_argument(
        "--engine",
        choices=engines or ENGINES,
        default=engines[0] if engines else None,
        help="default: %(default)s" if engines else "for all tables alike; this one needs none",
    )
    parser.add_argument("--launcher", choices=("none", "torchrun", "slurm"), default="none")
    beside = "jobs side by side, one a GPU"
    if benchmark.shared_by != "nobody":
        beside = f"launcher none: {beside}; torchrun and slurm: processes of a job on each machine, one a GPU"
    parser.add_argument("--gpus", type=int, default=1, help=f"{beside} (default: 1)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="one run each (default: 0)")
    parser.add_argument("--heads", type=int, help="attention heads, where a foreign checkpoint does not say")
    if not engines:  # an engine takes the GPU by itself
        add_device_argument(parser)
    parser.add_argument("--dry-run", action="store_true", help="check everything, list the jobs and stop")
    parser.add_argument("--json", metavar="FILE", help="write the records to this file as well")
    parser.add_argument("--format", choices=tuple(SUFFIXES), default="text", help="of the table (default: text)")
    parser.add_argument("--job", metavar="HASH", help="do this one of the jobs, in this process; --dry-run lists them")
    group = parser.add_argument_group("several machines, SLURM")
    group.add_argument("--nodes", type=int, default=1, help="machines a job (default: 1)")
    group.add_argument(
        "--rdzv-endpoint", metavar="HOST:PORT", help="torchrun on several machines: start the same command on each"
    )
    for name, value in vars(Slurm()).items():
        kind = str if value is None else type(value)
        group.add_argument(f"--slurm-{name.replace('_', '-')}", type=kind, default=value, help=f"default: {value}")
    benchmark.flags(parser)
    return parser


def check_launch(args: argparse.Namespace, benchmark: Benchmark) -> Launch:
    """How each job is to be started; :class:`InputError` for combinations that make no sense."""
    if args.gpus < 1 or args.nodes < 1:
        raise InputError(f"--gpus is {args.gpus} and --nodes {args.nodes}: give numbers of 1 or more")
    if args.nodes > 1 and args.launcher == "none":
        raise InputError("--nodes takes --launcher torchrun or slurm")
    if args.nodes > 1 and args.launcher == "torchrun" and not args.rdzv_endpoint:
        raise InputError("--nodes with torchrun takes --rdzv-endpoint HOST:PORT, the same on every machine")
    if args.nodes > 1 and benchmark.shared_by != "processes":
        raise InputError("a job of this table is one machine's: leave --nodes out")
    if side_by_side(args, benchmark) > len(gpus := visible_gpus()) > 0:
        raise InputError(f"--gpus {args.gpus}, but torch finds {len(gpus)} here: give that many at most")
    if benchmark.shared_by == "nobody" or args.launcher == "none":
        return Launch()
    # A SLURM job is one task a machine, which starts the processes there.
    several = args.launcher == "torchrun" or args.gpus * args.nodes > 1
    return Launch("torchrun", args.gpus, args.nodes) if several else Launch()


def side_by_side(args: argparse.Namespace, benchmark: Benchmark) -> int:
    """How many jobs run here at once."""
    return args.gpus if args.launcher == "none" or benchmark.shared_by == "nobody" else 1


def slurm_of(args: argparse.Namespace) -> Slurm:
    """What the ``--slurm-...`` flags ask for."""
    return Slurm(**{name: getattr(args, f"slurm_{name}") for name in vars(Slurm())})


def arguments_for(parser: argparse.ArgumentParser, args: argparse.Namespace, changes: Mapping[str, Any]) -> list[str]:
    """A command line that parses to ``args`` with ``changes``; defaults are left out."""
    found: list[str] = []
    for action in parser._actions:
        value = changes.get(action.dest, getattr(args, action.dest, None))
        if not action.option_strings or action.dest == "help" or value == action.default:
            continue
        flag = action.option_strings[0]
        if isinstance(action, argparse._StoreTrueAction):
            found.append(flag)
        elif isinstance(action, argparse._AppendAction):
            found += [part for one in value for part in (flag, str(one))]
        elif isinstance(value, list | tuple):
            found += [flag, *map(str, value)]
        else:
            found += [flag, str(value)]
    return found


def script() -> str:
    """The tool that is running, as one would type it here."""
    path = os.path.abspath(sys.modules["__main__"].__file__ or sys.argv[0])
    near = os.path.relpath(path)
    return path if near.startswith("..") else near


def shown(command: list[str]) -> str:
    """A command line that can be pasted."""
    return shlex.join(["python", *command])


def named(entries: list[str], flag: str = "--checkpoint") -> dict[str, str]:
    """``NAME=PATH`` entries as a dictionary; names become parts of file names."""
    found: dict[str, str] = {}
    for entry in entries:
        name, equals, path = entry.partition("=")
        if not equals or not path or not name or not name.replace("-", "").replace("_", "").replace(".", "").isalnum():
            raise InputError(f"{flag} {entry} is not NAME=PATH with a name of letters, digits, - _ and .")
        if name in found:
            raise InputError(f"{flag} names {name} twice: choose another name for one of them")
        found[name] = path
    return found
