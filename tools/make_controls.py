"""Make the suite's two controls: random weights, and the same ViT trained with labels on the shapes world."""

from __future__ import annotations

from pathlib import Path

from benchmarks.controls import train_positive_control, write_control, write_random_control
from benchmarks.errors import InputError, command_parser, run_command


def main() -> int:
    parser = command_parser(__doc__, "python tools/make_controls.py --out runs/controls --seed 0")
    parser.add_argument(
        "--out", default="runs/controls", help="folder for random.safetensors and supervised.safetensors"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of both (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=3000, help="training steps (default: %(default)s)")
    parser.add_argument("--pictures", type=int, default=2000, help="rendered training pictures (default: %(default)s)")
    arguments = parser.parse_args()
    if arguments.seed < 0 or min(arguments.steps, arguments.pictures) < 1:
        raise InputError("--seed must be 0 or more, --steps and --pictures 1 or more")
    out = Path(arguments.out)
    write_random_control(out / "random.safetensors", arguments.seed)
    module = train_positive_control(arguments.seed, arguments.steps, arguments.pictures)
    write_control(
        out / "supervised.safetensors", module, "labels on the shapes world (positive control)", arguments.seed
    )
    print(f"{out}/random.safetensors and {out}/supervised.safetensors, seed {arguments.seed}")
    return 0


if __name__ == "__main__":
    run_command(main)
