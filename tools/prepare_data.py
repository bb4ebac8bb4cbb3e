"""Say what of a data set is there and what is missing, check it, or write the built-in shapes world."""

from __future__ import annotations

import argparse

from benchmarks import data_check, shapes
from benchmarks.errors import InputError, command_parser, run_command
from benchmarks.files import write_json


def _parse() -> argparse.Namespace:
    parser = command_parser(__doc__, "python tools/prepare_data.py coco --root data --check")
    parser.add_argument("dataset", choices=(*data_check.DATASETS, "shapes"), help="shapes: write the built-in world")
    parser.add_argument("--root", required=True, help="data root (DIR/coco, DIR/davis, ...) or the set's own folder")
    parser.add_argument("--check", action="store_true", help="decode every picture, compare every annotation")
    parser.add_argument("--scale", choices=tuple(shapes.WORLD_SCALES), default="demo", help="shapes: how much to write")
    parser.add_argument("--seed", type=int, default=0, help="shapes: which world to write")
    parser.add_argument("--json", metavar="FILE", help="write what was printed as data")
    return parser.parse_args()


def main() -> None:
    arguments = _parse()
    if arguments.dataset == "shapes":
        folders = shapes.write_world(arguments.root, arguments.scale, arguments.seed)
        print(f"shapes world, scale {arguments.scale}, seed {arguments.seed}: {', '.join(map(str, folders.values()))}")
        names = data_check.DATASETS if arguments.check else ()
    else:
        names = (arguments.dataset,)
    reports = [data_check.survey(name, arguments.root, arguments.check) for name in names]
    for report in reports:
        print("\n".join(report.lines()))
    if arguments.json:
        write_json(arguments.json, [report.as_dict() for report in reports])
    if arguments.check:
        faults = [fault for report in reports for fault in (*report.problems, *report.missing)]
        if faults:
            raise InputError(f"{len(faults)} faults in {arguments.root}, the first: {faults[0]}")
        print("checked: no faults")


if __name__ == "__main__":
    run_command(main)
