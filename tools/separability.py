"""Do a checkpoint's tokens cluster by what is in the image? Similarity within and between segments, layer by layer.

Segments are those of label maps, or without them the clusters that mean-shift finds in each layer. Prints the numbers
of the paper's mean-shift reading (section 4.1, Eq. 7) and writes them as PNG, SVG and .npz.
"""

from __future__ import annotations

import datetime
import math

from benchmarks.errors import InputError, run_command
from benchmarks.figures.command import add_labels, figure_parser, prepared, write_figure_records
from benchmarks.figures.separability import CLUSTER_TAU, measure, table, write_separability
from benchmarks.files import write_json


def main() -> int:
    parser = figure_parser(
        __doc__,
        "python tools/separability.py --checkpoint flsl=flsl_s16.safetensors \\\n"
        "      --images images/validation/*.jpg --labels annotations/validation/*.png --out runs/separability",
    )
    add_labels(parser)
    parser.add_argument("--tau", type=float, help="of Eq. 7 on unit vectors; default: FLSL's, 0.1 sqrt(D)")
    parser.add_argument("--json", metavar="FILE", help="write the numbers to this file as well")
    args = parser.parse_args()
    if args.tau is not None and not (args.tau > 0 and math.isfinite(args.tau)):
        raise InputError(f"--tau is {args.tau}: give a number above 0")
    started = datetime.datetime.now(datetime.timezone.utc)
    checkpoints, device = prepared(args)
    found = measure(checkpoints, args.images, args.labels, args.tau, args.unlabelled, args.size, device)
    print(table(found))
    # JSON has no NaN: a layer in which no image had two segments has no numbers.
    found_json = {
        name: [{k: None if v != v else v for k, v in row.items()} for row in rows] for name, rows in found.items()
    }
    written = write_separability(args.out, found)
    choices = {
        "size": args.size,
        "tau": args.tau or "0.1 sqrt(D)",
        "segments": "label maps" if args.labels else f"mean-shift, tau {CLUSTER_TAU:g}",
    }
    write_figure_records("separability", args.out, checkpoints, args.images, choices, found_json, started, device)
    if args.json:
        write_json(args.json, found_json)
    print("\n".join(map(str, written)))
    return 0


if __name__ == "__main__":
    run_command(main)
