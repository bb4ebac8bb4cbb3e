"""Score label maps on DAVIS 2017 (semi-supervised): J, F and J&F as the official evaluator computes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.davis.protocol import PROTOCOLS, chosen_protocols
from benchmarks.davis.scoring import evaluate
from benchmarks.errors import InputError, command_parser, run_command
from benchmarks.files import write_json
from benchmarks.tables.spread import in_words


def main() -> None:
    parser = command_parser(
        __doc__,
        "python tools/evaluate_davis.py --davis-root data/davis --predictions runs/dino_davis --json scores.json",
    )
    parser.add_argument("--davis-root", required=True, help="the folder DAVIS, or one that holds it")
    parser.add_argument("--predictions", required=True, help="folder with <sequence>/<frame>.png, indexed PNGs")
    parser.add_argument("--sequences", help="comma-separated; default: ImageSets/2017/val.txt")
    parser.add_argument(
        "--frames", type=int, help="score the first so many frames of each sequence only (not the official rule)"
    )
    parser.add_argument(
        "--protocol", choices=[*PROTOCOLS, "all"], help="score PREDICTIONS/<protocol>; all: each one that is there"
    )
    parser.add_argument("--json", help="write the scores there")
    args = parser.parse_args()

    sequences = args.sequences.split(",") if args.sequences else None
    folders = [Path(args.predictions)]
    if args.protocol:
        folders = [folders[0] / name for name in chosen_protocols(args.protocol)]
        folders = [folder for folder in folders if args.protocol != "all" or folder.is_dir()]
    if not folders:
        raise InputError(
            f"{args.predictions} has no folder of a protocol: propagate_davis.py --protocol all writes them"
        )
    scores = {
        folder.name: evaluate(args.davis_root, folder, sequences, args.frames, progress=True) for folder in folders
    }
    if args.protocol == "all":
        for name, found in scores.items():
            print(f"{name:9} J&F {found['J&F-Mean']:.4f}  J {found['J-Mean']:.4f}  F {found['F-Mean']:.4f}")
        if len(scores) > 1:
            print(in_words(args.predictions, {name: 100 * found["J&F-Mean"] for name, found in scores.items()}))
    else:
        _show(*scores.values())
    if args.json:
        write_json(args.json, scores if args.protocol == "all" else scores[folders[0].name])


def _show(scores: dict[str, Any]) -> None:
    for name, value in scores.items():
        if name != "per_object":
            print(f"{name:10} {'undefined' if value is None else format(value, '.4f')}")
    for name, values in scores["per_object"].items():
        print(f"{name:24} J {values['J']:.4f}  F {values['F']:.4f}")


if __name__ == "__main__":
    run_command(main)
