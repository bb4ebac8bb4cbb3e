"""All scores of folders of folders as one HTML page with filters; it is complete in itself and loads nothing."""

from __future__ import annotations

from pathlib import Path

from benchmarks.errors import command_parser
from benchmarks.files import write_text
from benchmarks.report.collect import collect
from benchmarks.report.leaderboard import page
from benchmarks.report.shared import scores


def main() -> int:
    """Write the page. Returns the exit code."""
    parser = command_parser(__doc__ or "", "flsl-bench leaderboard docs/records runs --out leaderboard.html")
    parser.add_argument("folders", nargs="+", help="folders with records/ at any depth")
    parser.add_argument("--out", required=True, help="the HTML file to write")
    args = parser.parse_args()
    rows = scores(collect([Path(folder) for folder in args.folders]).records)
    write_text(args.out, page(rows))
    print(f"{args.out}: {len(rows)} scores of {len({row.model for row in rows})} models")
    return 0
