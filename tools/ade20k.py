"""Semantic FPN on ADE20K for your checkpoints: mIoU, mean and pixel accuracy, per class, and pictures.

Recipe released is FLSL's and SelfPatch's published code with its oddities; corrected has real pyramid levels and spares
norms from weight decay. Scale mini is a small frozen network on two cores, on the shapes world if there is no ADE20K.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

from benchmarks.ade20k.run import RECIPES, SCALES, Options
from benchmarks.ade20k.table import judge, open_data, plan, report
from benchmarks.checkpoints.convert import canonical
from benchmarks.engines.mmdet_launch import is_first_process, relaunch
from benchmarks.engines.mmseg import require_mmseg
from benchmarks.errors import run_command
from benchmarks.files import write_json
from benchmarks.records import read_records
from benchmarks.tables.command import named, table_parser


def main() -> int:
    parser = table_parser(
        __doc__,
        "python tools/ade20k.py --checkpoint dino=dino_s16.safetensors --data-root data --out runs/ade20k \\\n"
        "      --launcher torchrun --gpus 8",
        checkpoints_required=True,
    )
    parser.add_argument("--recipe", choices=RECIPES, default="released", help="default: %(default)s")
    for field in dataclasses.fields(Options):
        values = " / ".join(str(getattr(options, field.name)) for options in SCALES.values())
        flag = f"--{field.name.replace('_', '-')}"
        parser.add_argument(flag, type=type(field.default), help=f"paper / mini scale: {values}")
    args = parser.parse_args()
    given = {field.name: getattr(args, field.name) for field in dataclasses.fields(Options)}
    options = dataclasses.replace(SCALES[args.scale], **{k: v for k, v in given.items() if v is not None})
    checkpoints = {name: canonical(path, heads=args.heads) for name, path in named(args.checkpoint).items()}
    data = open_data(args.data_root, args.scale)
    if args.dry_run:
        print(plan(checkpoints, data, args.scale, args.recipe, options, args.seeds))
        return 0
    require_mmseg()
    code = relaunch(args.launcher, args.gpus, sys.argv)
    if code is not None:
        return code
    out = Path(args.out)
    judge(checkpoints, data, out, args.scale, args.recipe, options, args.seeds, args.launcher, args.gpus)
    if is_first_process():
        print(report(checkpoints, data, out, args.recipe, args.seeds[0]))
        print(f"records: {out / 'records'}   pictures: {out / 'pictures'}")
        if args.json:
            write_json(args.json, read_records(out / "records"))
    return 0


if __name__ == "__main__":
    run_command(main)
