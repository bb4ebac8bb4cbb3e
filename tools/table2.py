"""Table 2 of the paper: ViTDet-B/16 on COCO for your checkpoints, beside the paper's numbers.

In mmdet or, where it is installed, in detectron2: the same detector, whose parameters load into each other. Scale mini
runs the same code at a size for two cores, on the shapes world if there is no COCO under --data-root; it says nothing
about the paper. The published batch of 64 is kept on fewer GPUs: --per-device sets how many images one takes at a time.
"""

from benchmarks.coco.table import Coco
from benchmarks.errors import run_command
from benchmarks.tables.driver import table_command
from benchmarks.tables.table2 import TABLE

EXAMPLE = (
    "python tools/table2.py --checkpoint mae=mae_b16.safetensors --checkpoint flsl=flsl_b16.safetensors \\\n"
    "      --data-root data --out runs/table2 --launcher torchrun --gpus 8 --per-device 2"
)

if __name__ == "__main__":
    run_command(lambda: table_command(Coco(TABLE), __doc__, EXAMPLE))
