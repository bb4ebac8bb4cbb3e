"""Table 2 of the paper: ViTDet-B/16 on COCO for your checkpoints, beside the paper's numbers.

In mmdet or, where it is installed, in detectron2: the same detector, whose parameters load into each other. Scale mini
runs the same code at a size for two cores, on the shapes world if there is no COCO under --data-root; it says nothing
about the paper. The published batch of 64 is kept on fewer GPUs: --per-device sets how many images one takes at a time.
"""

from __future__ import annotations

from benchmarks.coco.command import add_flags, run_table
from benchmarks.errors import run_command
from benchmarks.tables.command import table_parser


def main() -> int:
    parser = table_parser(
        __doc__,
        "python tools/table2.py --checkpoint mae=mae_b16.safetensors --checkpoint flsl=flsl_b16.safetensors \\\n"
        "      --data-root data --out runs/table2 --launcher torchrun --gpus 8 --per-device 2",
        checkpoints_required=True,
    )
    add_flags(parser)
    parser.add_argument(
        "--relative-positions",
        action="store_true",
        help="with them, as detectron2's published config; a row of its own",
    )
    args = parser.parse_args()
    return run_table(2, args, relative_positions=args.relative_positions)


if __name__ == "__main__":
    run_command(main)
