"""Judge the snapshots of pretraining runs by k-NN and DAVIS and draw them against the step, controls as levels.

For small runs: k-NN on the pictures of --data-root, DAVIS at 192 pixels and 16 frames. The same command goes on where
it was stopped, and can be given again while a run is still training.
"""

from __future__ import annotations

from benchmarks.core.command import named
from benchmarks.errors import command_parser, run_command
from benchmarks.learning_curves import write_curves


def main() -> int:
    parser = command_parser(
        __doc__,
        "python tools/learning_curves.py --run v0=runs/terms/v0 --run v0.03=runs/terms/v0.03 \\\n"
        "      --control random=random.safetensors --data-root runs/demo/seed0/world --out runs/curves",
    )
    parser.add_argument("--run", action="append", required=True, metavar="NAME=FOLDER", help="repeat it")
    parser.add_argument("--control", action="append", default=[], metavar="NAME=CHECKPOINT", help="a level; repeat it")
    parser.add_argument("--data-root", required=True, help="folder with imagenet/ and davis/")
    parser.add_argument("--out", required=True, help="curves, table and scores go there")
    parser.add_argument("--every", type=int, default=1, help="judge every so many snapshots (default: %(default)s)")
    args = parser.parse_args()
    runs, controls = named(args.run, "--run"), named(args.control, "--control")
    print("\n".join(map(str, write_curves(runs, controls, args.data_root, args.out, args.every))))
    return 0


if __name__ == "__main__":
    run_command(main)
