"""Table 5 of the paper: the coefficients of the FLSL objective, judged by bbox-aligned k-NN."""

from benchmarks.errors import run_command
from benchmarks.tables.commands import command

if __name__ == "__main__":
    run_command(command("5").run)
