"""A table of the paper: ``flsl-bench table 4 --checkpoint ...`` is ``python tools/table4.py --checkpoint ...``."""

from __future__ import annotations

import sys

from benchmarks.errors import InputError
from benchmarks.tables.commands import NAMES, command


def main() -> int:
    """Dispatch to the table's own command."""
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help"):
        print(f"usage: flsl-bench table {{{','.join(NAMES)}}} [options]; table 1 --help says more")
        return 0 if len(sys.argv) > 1 else 2
    name = sys.argv[1]
    found = command(name)
    if "--job" in sys.argv and len(sys.argv) < 4:
        raise InputError("--job takes a hash: --dry-run lists them")
    sys.argv[:2] = [f"{sys.argv[0]} {name}"]
    return found.run()
