"""Say what of a data set is there, what is missing and where to get it; check it, fetch it, or make a small one.

--download fetches what the publisher offers by direct link (coco, davis, ade20k) and goes on where it was cut off;
UAVDT, VisDrone and ImageNet can only be had by hand. segmentation --layout brings a published set, or images of your
own, into one layout. coco --mini cuts a small COCO from yours, the same images for everybody.
"""

from __future__ import annotations

import argparse
import sys

from benchmarks import data_check, shapes
from benchmarks.data_check.download import DownloadError
from benchmarks.data_check.mini_coco import cut
from benchmarks.errors import InputError, command_parser, run_command
from benchmarks.files import write_json
from benchmarks.segmentation.prepare import prepare
from benchmarks.segmentation.sources import LAYOUTS


def _parse() -> argparse.Namespace:
    parser = command_parser(__doc__, "python tools/prepare_data.py coco --root data --download --check")
    parser.add_argument("dataset", choices=(*data_check.DATASETS, "segmentation", "shapes"))
    parser.add_argument("--root", required=True, help="data root (DIR/coco, DIR/davis, ...) or the set's own folder")
    parser.add_argument("--check", action="store_true", help="decode every picture, compare every annotation")
    parser.add_argument("--download", action="store_true", help="fetch and unpack what is missing")
    parser.add_argument("--mini", action="store_true", help="coco: cut a miniature of it into --out DIR/coco")
    parser.add_argument("--out", metavar="DIR", help="of --mini")
    parser.add_argument("--layout", choices=tuple(LAYOUTS), help="segmentation: what --source holds")
    parser.add_argument(
        "--source", metavar="DIR", help="segmentation: the set to bring into DIR/segmentation of --root"
    )
    parser.add_argument("--name", default="segmentation", help="segmentation: the folder below --root")
    parser.add_argument("--scale", choices=tuple(shapes.WORLD_SCALES), default="demo", help="shapes: how much to write")
    parser.add_argument("--seed", type=int, default=0, help="shapes: which world to write")
    parser.add_argument("--json", metavar="FILE", help="write what was printed as data")
    arguments = parser.parse_args()
    if arguments.mini and (arguments.dataset != "coco" or not arguments.out):
        raise InputError("--mini is for coco and needs --out DIR, where DIR/coco is written")
    if bool(arguments.layout) != bool(arguments.source) or (arguments.layout and arguments.dataset != "segmentation"):
        raise InputError("--layout and --source go together, and with segmentation")
    if arguments.download and arguments.dataset == "shapes":
        raise InputError("the shapes world is made here, not downloaded: leave --download out")
    return arguments


def main() -> int:
    arguments = _parse()
    if arguments.mini:
        facts = cut(arguments.root, arguments.out)
        print("\n".join(f"{name}: {value}" for name, value in facts.items()))
        if arguments.json:
            write_json(arguments.json, facts)
        return 0
    if arguments.layout:
        facts = prepare(arguments.layout, arguments.source, arguments.root, arguments.name)
        print("\n".join(f"{name}: {value}" for name, value in facts.items()))
        arguments.root = facts["folder"]
    if arguments.download:
        try:
            data_check.fetch_missing(arguments.dataset, arguments.root)
        except DownloadError as error:
            print(f"failed: {error}", file=sys.stderr)
            return 1
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
    return 0


if __name__ == "__main__":
    run_command(main)
