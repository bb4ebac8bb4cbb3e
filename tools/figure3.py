"""Figure 3 of the paper for your checkpoints and images: aggregated similarity scores, layer by layer.

Bright: the token is similar to many others. With features that follow the image, brightness is that of whole regions,
the brighter the larger the region. Writes a PNG, an SVG and an .npz for each image.
"""

from __future__ import annotations

import datetime

from benchmarks.errors import run_command
from benchmarks.figures.command import add_layers, figure_parser, prepared, write_figure_records
from benchmarks.figures.similarity import write_figure3


def main() -> int:
    parser = figure_parser(
        __doc__,
        "python tools/figure3.py --checkpoint dino=dino_s16.safetensors --checkpoint flsl=flsl_s16.safetensors \\\n"
        "      --images a.jpg b.jpg --out runs/figure3",
    )
    add_layers(parser)
    parser.add_argument("--stretch", action="store_true", help="each map from its own lowest score to 1, not from 0")
    args = parser.parse_args()
    started = datetime.datetime.now(datetime.timezone.utc)
    checkpoints, device = prepared(args)
    written = write_figure3(args.out, checkpoints, args.images, args.size, args.layers, args.stretch, device)
    choices = {
        "size": args.size,
        "layers": args.layers or "all",
        "scale": "own" if args.stretch else "0 to 1",
        "layer 0": "patch projection without positions",
        "features": "residual stream after each block; the last after the final norm",
        "own term": "included",
    }
    write_figure_records("figure3", args.out, checkpoints, args.images, choices, {}, started, device)
    print("\n".join(map(str, written)))
    return 0


if __name__ == "__main__":
    run_command(main)
