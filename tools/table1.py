"""Table 1 of the paper: Mask R-CNN FPN on COCO for your checkpoints, beside the paper's numbers.

The config goes by the checkpoint: ViT-S/16, ViT-S/8, any other ViT, ResNet-50. Scale mini runs the same code with a
small frozen detector on two cores, on the shapes world if there is no COCO under --data-root; it says nothing about the
paper. The published batch is kept on fewer GPUs: --per-device sets how many images a GPU takes at a time.
"""

from benchmarks.coco.table import Coco
from benchmarks.errors import run_command
from benchmarks.tables.driver import table_command
from benchmarks.tables.table1 import TABLE

EXAMPLE = (
    "python tools/table1.py --checkpoint dino=dino_s16.safetensors --checkpoint flsl=flsl_s16.safetensors \\\n"
    "      --data-root data --out runs/table1 --launcher torchrun --gpus 4 --per-device 1"
)

if __name__ == "__main__":
    run_command(lambda: table_command(Coco(TABLE), __doc__, EXAMPLE))
