"""Table 6 of the paper: the number of centroids K, judged by bbox-aligned k-NN beside the paper's numbers."""

from benchmarks.errors import run_command
from benchmarks.tables.commands import command

if __name__ == "__main__":
    run_command(command("6").run)
