"""Are these files records of the suite? Every one is read, and every fault is said."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.core.result import read_result
from benchmarks.errors import InputError, command_parser


def main() -> int:
    """Read every record. Returns 0 where all are sound."""
    parser = command_parser(__doc__ or "", "flsl-bench validate runs/mine/records")
    parser.add_argument("paths", nargs="+", help="record files, or folders with records (*.json) at any depth")
    args = parser.parse_args()
    files: list[Path] = []
    for path in map(Path, args.paths):
        found = (
            sorted(p for p in path.rglob("records/*.json") if not p.name.startswith(".")) if path.is_dir() else [path]
        )
        if path.is_dir() and path.name == "records":
            found = sorted(p for p in path.glob("*.json") if not p.name.startswith("."))
        if not found:
            raise InputError(f"{path} holds no records (records/*.json)")
        files += found
    faults = []
    for file in files:
        try:
            read_result(file)
        except InputError as error:
            faults.append(str(error))
    for fault in faults:
        print(fault, file=sys.stderr)
    if faults:
        raise InputError(f"{len(faults)} of {len(files)} files are no sound records")
    print(f"{len(files)} records are sound")
    return 0
