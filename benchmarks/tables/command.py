"""The arguments that the commands for the tables share."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import torch

from benchmarks.errors import InputError, command_parser

ENGINES = ("mmdet", "detectron2")


def table_parser(
    doc: str, example: str, checkpoints_required: bool, engines: Sequence[str] = ()
) -> argparse.ArgumentParser:
    """A parser with the arguments of every table. A table without ``engines`` needs none, and takes any name."""
    parser = command_parser(doc, example)
    parser.add_argument(
        "--checkpoint",
        action="append",
        required=checkpoints_required,
        default=[],
        metavar="NAME=PATH",
        help="repeat it",
    )
    parser.add_argument("--data-root", required=True, help="folder with the data sets in their own layouts")
    parser.add_argument("--out", required=True, help="records, pictures and everything else go there")
    parser.add_argument("--scale", choices=("paper", "mini"), default="paper")
    parser.add_argument(
        "--engine",
        choices=engines or ENGINES,
        default=engines[0] if engines else None,
        help="default: %(default)s" if engines else "for all tables alike; this one needs none",
    )
    parser.add_argument("--launcher", choices=("none", "torchrun", "slurm"), default="none")
    parser.add_argument("--gpus", type=int, default=1, help="processes of the launcher (default: %(default)s)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="one run each (default: 0)")
    parser.add_argument("--heads", type=int, help="attention heads, where a foreign checkpoint does not say")
    if not engines:  # an engine takes the GPU by itself
        parser.add_argument("--device", default="auto", help="cpu or cuda; default: cuda where there is one")
    parser.add_argument("--dry-run", action="store_true", help="check everything, say what would be run, and stop")
    parser.add_argument("--json", metavar="FILE", help="write the records to this file as well")
    return parser


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


def chosen_device(name: str) -> str:
    """``auto`` as what torch finds."""
    return ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name
