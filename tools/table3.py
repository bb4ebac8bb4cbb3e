"""Table 3 of the paper: Faster R-CNN FPN on UAVDT for your checkpoints, beside the paper's numbers.

Scale mini runs the same code with a small frozen detector on two cores, on the shapes world's aerial sequences if there
is no UAVDT under --data-root; it says whether weights are good for anything, and nothing about the paper.
"""

from benchmarks.errors import run_command
from benchmarks.tables.driver import table_command
from benchmarks.uavdt.table import Uavdt

EXAMPLE = (
    "python tools/table3.py --checkpoint dino=dino_s16.safetensors --checkpoint flsl=flsl_s16.safetensors \\\n"
    "      --data-root data --out runs/table3 --launcher torchrun --gpus 8"
)

if __name__ == "__main__":
    run_command(lambda: table_command(Uavdt(), __doc__, EXAMPLE))
