"""Table 3 of the paper: Faster R-CNN FPN on UAVDT for your checkpoints, beside the paper's numbers.

Scale mini runs the same code with a small frozen detector on two cores, on the shapes world's aerial sequences if there
is no UAVDT under --data-root; it says whether weights are good for anything, and nothing about the paper.
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.checkpoints.convert import canonical
from benchmarks.engines.mmdet import LAUNCHERS, require_mmdet
from benchmarks.engines.mmdet_launch import is_first_process, relaunch
from benchmarks.errors import InputError, command_parser, run_command
from benchmarks.files import write_json
from benchmarks.records import read_records
from benchmarks.uavdt import options
from benchmarks.uavdt.table import judge, open_data, plan, report


def main() -> int:
    parser = command_parser(
        __doc__,
        "python tools/table3.py --checkpoint dino=dino_s16.safetensors --checkpoint flsl=flsl_s16.safetensors \\\n"
        "      --data-root data --out runs/table3 --launcher torchrun --gpus 8",
    )
    parser.add_argument("--checkpoint", action="append", required=True, metavar="NAME=PATH", help="give it for each")
    parser.add_argument("--data-root", required=True, help="folder with uavdt/, or UAVDT itself")
    parser.add_argument("--out", required=True, help="records, detections, snapshots and pictures go there")
    parser.add_argument("--scale", choices=tuple(options.SCALES), default="paper")
    parser.add_argument("--engine", choices=("mmdet",), default="mmdet")
    parser.add_argument("--launcher", choices=tuple(LAUNCHERS), default="none")
    parser.add_argument("--gpus", type=int, default=1, help="processes of the launcher (default: %(default)s)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="one run each (default: 0)")
    parser.add_argument("--heads", type=int, help="attention heads, where a foreign checkpoint does not say")
    parser.add_argument("--dry-run", action="store_true", help="check everything, say what would be run, and stop")
    parser.add_argument("--json", metavar="FILE", help="write the records to this file as well")
    options.add_flags(parser)
    args = parser.parse_args()

    chosen = options.from_flags(args, args.scale)
    checkpoints = {name: canonical(path, heads=args.heads) for name, path in _named(args.checkpoint).items()}
    data = open_data(args.data_root, args.scale)
    if args.dry_run:
        print(plan(checkpoints, data, args.scale, chosen, args.seeds))
        return 0
    require_mmdet()
    code = relaunch(args.launcher, args.gpus, sys.argv)
    if code is not None:
        return code
    out = Path(args.out)
    judge(checkpoints, data, out, args.scale, chosen, args.seeds, args.launcher, args.gpus)
    if is_first_process():
        print(report(checkpoints, data, out, args.seeds[0]))
        print(f"records: {out / 'records'}   pictures: {out / 'pictures'}")
        if args.json:
            write_json(args.json, read_records(out / "records"))
    return 0


def _named(entries: list[str]) -> dict[str, str]:
    """``NAME=PATH`` entries as a dictionary; names become parts of file names."""
    found: dict[str, str] = {}
    for entry in entries:
        name, equals, path = entry.partition("=")
        if not equals or not path or not name or not name.replace("-", "").replace("_", "").isalnum():
            raise InputError(f"--checkpoint {entry} is not NAME=PATH with a name of letters, digits, - and _")
        if name in found:
            raise InputError(f"--checkpoint names {name} twice: choose another name for one of them")
        found[name] = path
    return found


if __name__ == "__main__":
    run_command(main)
