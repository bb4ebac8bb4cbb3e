"""Table 1 of the paper: Mask R-CNN FPN on COCO for your checkpoints, beside the paper's numbers.

The config goes by the checkpoint: ViT-S/16, ViT-S/8, any other ViT, ResNet-50. Scale mini runs the same code with a
small frozen detector on two cores, on the shapes world if there is no COCO under --data-root; it says nothing about the
paper. The published batch is kept on fewer GPUs: --per-device sets how many images a GPU takes at a time.
"""

from __future__ import annotations

from benchmarks.coco.command import add_flags, run_table
from benchmarks.errors import run_command
from benchmarks.tables.command import table_parser


def main() -> int:
    parser = table_parser(
        __doc__,
        "python tools/table1.py --checkpoint dino=dino_s16.safetensors --checkpoint flsl=flsl_s16.safetensors \\\n"
        "      --data-root data --out runs/table1 --launcher torchrun --gpus 4 --per-device 1",
        checkpoints_required=True,
    )
    add_flags(parser)
    parser.add_argument(
        "--as-released", action="store_true", help="ViT-S/16 with the 8 heads of the released config; a row of its own"
    )
    args = parser.parse_args()
    return run_table(1, args, as_released=args.as_released)


if __name__ == "__main__":
    run_command(main)
