"""Table 1 of the paper: Mask R-CNN FPN on COCO for your checkpoints, beside the paper's numbers."""

from benchmarks.errors import run_command
from benchmarks.tables.commands import command

if __name__ == "__main__":
    run_command(command("1").run)
