"""Records for others: a CSV file with every score, and YAML files that Hugging Face shows beside a model."""

from __future__ import annotations

from pathlib import Path

from benchmarks.errors import InputError, command_parser
from benchmarks.files import write_text
from benchmarks.report.collect import collect
from benchmarks.report.shared import as_csv, eval_results, scores


def main() -> int:
    """Write what is asked for. Returns the exit code."""
    parser = command_parser(
        __doc__ or "",
        "flsl-bench export runs --csv scores.csv --eval-results hub --dataset davis=my-org/davis2017:dino_480p",
    )
    parser.add_argument("folders", nargs="+", help="--out folders of runs, or folders above them")
    parser.add_argument(
        "--csv", metavar="FILE", help="a score a line, in percent, with its interval, commit and device"
    )
    parser.add_argument(
        "--eval-results", metavar="DIR", help="DIR/MODEL/.eval_results/flsl-bench.yaml for each model, to be copied"
    )
    parser.add_argument(
        "--dataset", action="append", default=[], metavar="TASK=OWNER/NAME:TASK_ID",
        help="the benchmark on the Hub that a task's score belongs to; with --eval-results, repeatable",
    )  # fmt: skip
    parser.add_argument("--source", default="", metavar="URL", help="where the records can be read, for --eval-results")
    args = parser.parse_args()
    if not args.csv and not args.eval_results:
        raise InputError("nothing is asked for: give --csv FILE, --eval-results DIR, or both")
    if bool(args.eval_results) != bool(args.dataset):
        raise InputError("--eval-results and --dataset TASK=OWNER/NAME:TASK_ID belong together")
    datasets = dict(pair.partition("=")[::2] for pair in args.dataset)
    rows = scores(collect([Path(folder) for folder in args.folders]).records)
    texts = eval_results(rows, datasets, args.source) if args.eval_results else {}
    if args.csv:
        write_text(args.csv, as_csv(rows))
        print(f"{args.csv}: {len(rows)} scores")
    for model, text in texts.items():
        path = Path(args.eval_results) / model / ".eval_results" / "flsl-bench.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, text)
        print(path)
    return 0
