"""One HTML page about all runs in folders: the paper's tables beside ours, comparisons, pictures, curves, a card a run.

The page is complete in itself and loads nothing: it can be mailed, printed, and opened from a file.
"""

from __future__ import annotations

from benchmarks.errors import InputError, command_parser
from benchmarks.report import write_report


def main() -> int:
    """Write the page. Returns the exit code."""
    parser = command_parser(__doc__ or "", "flsl-bench report runs --out report.html")
    parser.add_argument("runs", nargs="+", help="folders with records/, or folders above them")
    parser.add_argument("--out", required=True, help="the HTML file to write")
    parser.add_argument("--pictures-mb", type=float, default=12.0, help="limit of pictures (default: %(default)g)")
    arguments = parser.parse_args()
    if not arguments.pictures_mb >= 0:
        raise InputError(f"--pictures-mb is {arguments.pictures_mb}: give 0 or more")
    counts = write_report(arguments.runs, arguments.out, int(arguments.pictures_mb * 1e6))
    size = f"{counts['bytes'] / 1e6:.1f} MB, of it {counts['picture bytes'] / 1e6:.1f} MB pictures"
    print(f"{arguments.out}: {counts['records']} records, {counts['pictures']} pictures, {counts['logs']} logs; {size}")
    return 0
