"""Table 4 of the paper: DAVIS 2017 by label propagation for your checkpoints, beside the paper's numbers.

Scale mini runs the same code at 192 pixels on two cores, on the shapes world's videos if there is no DAVIS under
--data-root; it says whether weights are good for anything, and nothing about the paper. No engine and no seed takes
part, and a GPU does a checkpoint in minutes: --gpus N judges N checkpoints side by side; torchrun changes nothing.
"""

from benchmarks.davis.table import Davis
from benchmarks.errors import run_command
from benchmarks.tables.driver import table_command

EXAMPLE = (
    "python tools/table4.py --checkpoint dino=dino_s16.safetensors --checkpoint flsl=flsl_s16.safetensors \\\n"
    "      --data-root data --out runs/table4"
)

if __name__ == "__main__":
    run_command(lambda: table_command(Davis(), __doc__, EXAMPLE))
