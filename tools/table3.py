"""Table 3 of the paper: Faster R-CNN FPN on UAVDT for your checkpoints, beside the paper's numbers.

Scale mini runs the same code with a small frozen detector on two cores, on the shapes world's aerial sequences if there
is no UAVDT under --data-root; it says whether weights are good for anything, and nothing about the paper.
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.checkpoints.convert import canonical
from benchmarks.engines.mmdet import require_mmdet
from benchmarks.engines.mmdet_launch import is_first_process, relaunch
from benchmarks.errors import run_command
from benchmarks.files import write_json
from benchmarks.records import read_records
from benchmarks.tables.command import named, table_parser
from benchmarks.uavdt import options
from benchmarks.uavdt.table import judge, open_data, plan, report


def main() -> int:
    parser = table_parser(
        __doc__,
        "python tools/table3.py --checkpoint dino=dino_s16.safetensors --checkpoint flsl=flsl_s16.safetensors \\\n"
        "      --data-root data --out runs/table3 --launcher torchrun --gpus 8",
        checkpoints_required=True,
        engines=("mmdet",),
    )
    options.add_flags(parser)
    args = parser.parse_args()

    chosen = options.from_flags(args, args.scale)
    checkpoints = {name: canonical(path, heads=args.heads) for name, path in named(args.checkpoint).items()}
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


if __name__ == "__main__":
    run_command(main)
