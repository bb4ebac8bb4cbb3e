"""Semantic FPN on ADE20K for your checkpoints: mIoU, mean and pixel accuracy, per class, and pictures.

Recipe released is FLSL's and SelfPatch's published code with its oddities; corrected has real pyramid levels and spares
norms from weight decay. Scale mini is a small frozen network on two cores, on the shapes world if there is no ADE20K.
"""

from benchmarks.ade20k.table import Ade20k
from benchmarks.errors import run_command
from benchmarks.tables.driver import table_command

EXAMPLE = (
    "python tools/ade20k.py --checkpoint dino=dino_s16.safetensors --data-root data --out runs/ade20k \\\n"
    "      --launcher torchrun --gpus 8"
)

if __name__ == "__main__":
    run_command(lambda: table_command(Ade20k(), __doc__, EXAMPLE))
