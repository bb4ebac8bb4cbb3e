"""The results of folders of runs beside each other: every model by every task, and the difference to one of them."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.core.result import Result
from benchmarks.errors import InputError, command_parser
from benchmarks.files import write_json
from benchmarks.report.collect import collect
from benchmarks.tables import overview


def main() -> int:
    """Print the table and, with ``--against``, the differences. Returns the exit code."""
    parser = command_parser(__doc__ or "", "flsl-bench compare runs/dino runs/mine --against dino")
    parser.add_argument("folders", nargs="+", help="--out folders of runs, or folders above them")
    parser.add_argument("--against", metavar="NAME", help="show differences to this model, on the same seeds and data")
    parser.add_argument("--scale", choices=("paper", "mini"), help="these alone; default: each scale in its own table")
    parser.add_argument("--json", metavar="FILE", help="write the records to this file as well")
    args = parser.parse_args()
    results = [r for r in collect([Path(folder) for folder in args.folders]).records if args.scale in (None, r.scale)]
    if args.against and args.against not in {result.name for result in results}:
        names = ", ".join(dict.fromkeys(result.name for result in results))
        raise InputError(f"--against {args.against}: no result has that name; there are {names}")
    for scale, data in dict.fromkeys((result.scale, _data(result)) for result in results):
        own = [result for result in results if (result.scale, _data(result)) == (scale, data)]
        print(f"{data}\n{overview.text(own)}")
        if args.against:
            print("\n".join(_differences(own, args.against)))
        print()
    if args.json:
        write_json(args.json, [result.to_dict() for result in results])
    return 0


def _data(result: Result) -> str:
    """Runs on different data never share a table."""
    return f"{result.data['name']} #{result.data['annotations_sha256'][:6]}"


def _differences(results: Sequence[Result], against: str) -> list[str]:
    """A line for each other model and metric: the mean of the differences on common seeds, with their spread."""
    found, lines = overview.values(results), []
    base: Mapping[int, Sequence[float | None]] = found.get(against, {})
    for name, by_seed in found.items():
        for index, (heading, *_) in enumerate(overview.columns(results)):
            pairs = [(by_seed[seed][index], base[seed][index]) for seed in sorted(by_seed.keys() & base.keys())]
            gaps = [a - b for a, b in pairs if a is not None and b is not None]
            if name != against and gaps:
                spread = f" ± {statistics.stdev(gaps):.2f} over {len(gaps)} seeds" if len(gaps) > 1 else ""
                lines.append(f"{name} - {against}: {heading} {statistics.fmean(gaps):+.2f}{spread}")
    return lines
