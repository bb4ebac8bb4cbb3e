"""Table 3 of the paper: Faster R-CNN FPN on UAVDT for your checkpoints, beside the paper's numbers."""

from benchmarks.errors import run_command
from benchmarks.tables.commands import command

if __name__ == "__main__":
    run_command(command("3").run)
