"""Table 2 of the paper: ViTDet-B/16 on COCO for your checkpoints, beside the paper's numbers."""

from benchmarks.errors import run_command
from benchmarks.tables.commands import command

if __name__ == "__main__":
    run_command(command("2").run)
