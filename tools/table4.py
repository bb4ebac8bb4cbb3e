"""Table 4 of the paper: DAVIS 2017 by label propagation for your checkpoints, beside the paper's numbers."""

from benchmarks.errors import run_command
from benchmarks.tables.commands import command

if __name__ == "__main__":
    run_command(command("4").run)
