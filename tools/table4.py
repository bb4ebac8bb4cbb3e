"""Table 4 of the paper: DAVIS 2017 by label propagation for your checkpoints, beside the paper's numbers.

Scale mini runs the same code at 192 pixels on two cores, on the shapes world's videos if there is no DAVIS under
--data-root; it says whether weights are good for anything, and nothing about the paper. No engine and no seed takes
part, and one GPU does it in minutes: --engine, --launcher, --gpus and --seeds change nothing.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.checkpoints.convert import canonical
from benchmarks.davis.table import judge, open_data, plan
from benchmarks.errors import run_command
from benchmarks.files import write_json
from benchmarks.records import read_records
from benchmarks.tables import paper
from benchmarks.tables.command import chosen_device, named, table_parser
from benchmarks.tables.table4 import TABLE


def main() -> None:
    parser = table_parser(
        __doc__,
        "python tools/table4.py --checkpoint dino=dino_s16.safetensors --checkpoint flsl=flsl_s16.safetensors \\\n"
        "      --data-root data --out runs/table4",
        checkpoints_required=True,
    )
    args = parser.parse_args()
    checkpoints = {name: canonical(path, heads=args.heads) for name, path in named(args.checkpoint).items()}
    root, out = open_data(args.data_root, args.scale), Path(args.out)
    if args.dry_run:
        print(plan(checkpoints, root, args.scale))
        return
    judge(checkpoints, root, out, args.scale, chosen_device(args.device))
    records = read_records(out / "records")
    print(paper.text(TABLE, records))
    print(f"records: {out / 'records'}   pictures: {out / 'pictures'}")
    if args.json:
        write_json(args.json, records)


if __name__ == "__main__":
    run_command(main)
