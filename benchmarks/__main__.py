"""The suite's own command: ``python -m benchmarks`` or ``flsl-bench``."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable

from benchmarks import SUITE
from benchmarks.errors import InputError, run_command

#: Sub-command -> the module whose ``main`` it is, and what it does.
COMMANDS = {
    "run": ("benchmarks.commands.run", "judge models by tasks"),
    "list": ("benchmarks.commands.list_tasks", "the tasks, what data each needs, and what it costs"),
    "compare": ("benchmarks.commands.compare", "the results of folders of runs beside each other"),
    "report": ("benchmarks.commands.report", "one HTML page about folders of runs"),
    "leaderboard": ("benchmarks.commands.leaderboard", "all scores of folders as one HTML page with filters"),
    "export": ("benchmarks.commands.export", "scores as CSV, and as YAML for Hugging Face"),
    "validate": ("benchmarks.commands.validate", "are these files records of the suite?"),
    "table": ("benchmarks.commands.table", "a table of the paper: 1 to 6, or ade20k"),
}


def main() -> None:
    """Dispatch to a sub-command; the exit code is that of every command of the suite."""
    run_command(_chosen)


def _chosen() -> int | None:
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help"):
        print("usage: flsl-bench COMMAND [options]; COMMAND --help says more\n")
        print("\n".join(f"  {name:12}{text}" for name, (_, text) in COMMANDS.items()))
        return 0 if len(sys.argv) > 1 else 2
    name = sys.argv[1]
    if name not in COMMANDS:
        raise InputError(f"there is no command {name}: {', '.join(COMMANDS)}")
    # A sub-command is a program whose name has two words: usage lines, records and printed commands repeat them.
    sys.argv[:2] = [f"{SUITE} {name}"]
    sub: Callable[[], int | None] = importlib.import_module(COMMANDS[name][0]).main
    return sub()


if __name__ == "__main__":
    main()
