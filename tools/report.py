"""One HTML page about all runs in folders: tables beside the paper's, comparisons, pictures, curves, cards."""

from benchmarks.commands.report import main
from benchmarks.errors import run_command

if __name__ == "__main__":
    run_command(main)
