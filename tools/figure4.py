"""Figure 4 of the paper for your checkpoints and images: attention of query patches (a), t-SNE of dense tokens (b).

Part a marks each query with a green circle and shows, for each checkpoint, the last block's softmax attention and the
cosine similarity of the features. The columns of class and register tokens are left out, and what is left is not scaled
up. Part b needs scikit-learn. Both write PNG, SVG and .npz.
"""

from __future__ import annotations

import datetime
import re

from benchmarks.errors import InputError, run_command
from benchmarks.figures.attention import KINDS, write_figure4a
from benchmarks.figures.command import add_labels, add_layers, figure_parser, prepared, write_figure_records
from benchmarks.figures.embedding import library, require_sklearn, write_figure4b
from benchmarks.figures.sources import pair, read_names


def main() -> int:
    parser = figure_parser(
        __doc__,
        "python tools/figure4.py --checkpoint dino=dino_s16.safetensors --checkpoint flsl=flsl_s16.safetensors \\\n"
        "      --images dog.jpg --queries 120,80 300,200 --out runs/figure4",
    )
    parser.add_argument("--part", choices=("a", "b", "both"), default="both", help="default: %(default)s")
    attention = parser.add_argument_group("part a")
    attention.add_argument("--queries", nargs="+", metavar="X,Y", help="pixels of the original images")
    attention.add_argument(
        "--grid", type=int, default=2, help="without --queries: n x n of them (default: %(default)s)"
    )
    attention.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS), help="default: both")
    attention.add_argument("--single-heads", action="store_true", help="a row for each head below their mean")
    embedding = parser.add_argument_group("part b")
    add_layers(embedding)
    add_labels(embedding)
    embedding.add_argument("--label-names", help="file with a label's number and name a line, as objectInfo150.txt")
    embedding.add_argument("--tokens", type=int, default=800, help="drawn from all images (default: %(default)s)")
    embedding.add_argument("--perplexity", type=float, default=30.0, help="default: %(default)s")
    embedding.add_argument("--seed", type=int, default=0, help="of the drawing and of t-SNE (default: %(default)s)")
    args = parser.parse_args()
    if args.grid < 1:
        raise InputError(f"--grid is {args.grid}: give a number from 1 on")
    queries = args.grid if args.queries is None else [_pixel(text) for text in args.queries]
    started = datetime.datetime.now(datetime.timezone.utc)
    names = read_names(args.label_names) if args.label_names else None
    checkpoints, device = prepared(args)
    if args.part != "a":
        require_sklearn()
        pair(args.images, args.labels)
    written = []
    if args.part != "b":
        written += write_figure4a(
            args.out, checkpoints, args.images, queries, args.kinds, args.single_heads, args.size, device
        )
        choices = {
            "size": args.size,
            "queries": args.queries or f"grid {args.grid} x {args.grid}",
            "kinds": args.kinds,
            "single heads": args.single_heads,
            "class and register columns": "left out, the rest not scaled up",
        }
        write_figure_records("figure4a", args.out, checkpoints, args.images, choices, {}, started, device)
    if args.part != "a":
        started = datetime.datetime.now(datetime.timezone.utc)
        paths, numbers = write_figure4b(
            args.out, checkpoints, args.images, args.labels, args.layers, args.tokens, args.perplexity, args.seed,
            names=names, unlabelled=args.unlabelled, size=args.size, device=device,
        )  # fmt: skip
        written += paths
        choices = {
            "size": args.size,
            "layers": args.layers or "all",
            "tokens": args.tokens,
            "perplexity": args.perplexity,
            "colour": "label map" if args.labels else "image",
            "library": library(),
        }
        write_figure_records(
            "figure4b", args.out, checkpoints, args.images, choices, numbers, started, device, args.seed
        )
        for name, layers in numbers.items():
            print(f"{name}: silhouette " + "  ".join(f"{one['layer']}: {one['silhouette']:.3f}" for one in layers))
    print("\n".join(map(str, written)))
    return 0


def _pixel(text: str) -> tuple[int, int]:
    if not re.fullmatch(r"\d+,\d+", text):
        raise InputError(f"--queries {text} is not X,Y in pixels of the image, such as 120,80")
    x, y = text.split(",")
    return int(x), int(y)


if __name__ == "__main__":
    run_command(main)
