"""Has a score moved? Every benchmark at one of three sizes, against stored values.

instant    two steps of everything: losses finite, outputs well-formed
inference  stored weights, no training: each score within 0.02 points (default)
training   short runs: scores within the spread over seeds, positive control above random weights

Runs on the shapes world, or with --coco-root on your own mini COCO. Exit code 1 names what moved, by how much, and
since which record.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.checkpoints.convert import canonical
from benchmarks.coco.dataset import open_coco
from benchmarks.controls import POSITIVE_CONTROL
from benchmarks.devices import hide_gpus
from benchmarks.errors import InputError, command_parser, run_command
from benchmarks.files import write_json
from benchmarks.regression import training
from benchmarks.regression.making import make_weights
from benchmarks.regression.run import EXPECTED, TIERS, check, choose, data_name, require_stored, update
from benchmarks.regression.setting import WEIGHTS, Setting
from benchmarks.regression.text import as_data, complaint, table

#: What a user's own data must come with, by tier.
OWN = {"instant": (), "inference": ("expected", "weights"), "training": ("expected",)}


def main() -> int:
    arguments = parse()
    own = arguments.coco_root is not None
    if not own and (arguments.tier != "instant" or arguments.make_weights):
        hide_gpus()  # the stored values are a CPU's
    only = [name for name in (arguments.only or "").split(",") if name]
    needed = ("weights",) if arguments.make_weights else OWN[arguments.tier]
    if own and not all(getattr(arguments, name) for name in needed):
        flags = " and ".join(f"--{name}" for name in needed)
        raise InputError(f"--coco-root takes {flags} here: values and detectors are your data's own")
    if arguments.checkpoint and not own:
        raise InputError(
            "--checkpoint is for --coco-root: the stored values of the shapes world are of its own weights"
        )
    setting = Setting(
        arguments.tier,
        Path(arguments.out),
        Path(arguments.cache or Path(arguments.out) / "worlds"),
        Path(arguments.weights or WEIGHTS),
        canonical(arguments.checkpoint or POSITIVE_CONTROL),
        open_coco(arguments.coco_root) if own else None,
    )
    names = choose("inference" if arguments.make_weights else arguments.tier, only, own)
    if arguments.make_weights:
        print("\n".join(make_weights(setting, only)))
        return 0
    expected, data = Path(arguments.expected or EXPECTED), data_name(setting.coco)
    if arguments.update:
        outcome = update(setting, names, expected, data, arguments.seeds)
    else:
        if own and arguments.tier != "instant":
            require_stored(expected, setting, names, data)
        outcome = check(setting, names, expected, data)
    report(outcome, arguments, data, expected)
    return 0 if outcome.passed else 1


def report(outcome, arguments: argparse.Namespace, data: str, expected: Path) -> None:
    """Print the table or what was stored, then all that is wrong."""
    print(f"tier {arguments.tier} on {data}: {sum(outcome.seconds.values()) / 60:.1f} minutes")
    if outcome.stored:
        print("\n".join([*outcome.stored, f"stored in {expected}"]))
    if outcome.rows:
        print(table(outcome.rows))
    wrong = [complaint(row) for row in outcome.rows if row.status != "ok"]
    fine = "all well-formed" if arguments.tier == "instant" else "nothing moved" if outcome.rows else "done"
    print("\n".join(wrong) if wrong else fine)
    if arguments.json:
        write_json(arguments.json, as_data(outcome, arguments.tier, data))


def parse() -> argparse.Namespace:
    """The command line; :class:`InputError` for options that do not go together."""
    parser = command_parser(__doc__, "python tools/ci_regression.py --tier inference --json regression.json")
    parser.add_argument("--tier", choices=tuple(TIERS), default="inference", help="default: %(default)s")
    parser.add_argument("--only", help="cases, separated by commas (default: all of the tier)")
    parser.add_argument("--out", default="runs/regression", help="runs, records, worlds (default: %(default)s)")
    parser.add_argument("--cache", help="folder for the rendered world (default: worlds/ in --out)")
    parser.add_argument("--update", action="store_true", help="store the scores and show old -> new")
    parser.add_argument("--json", help="write the result to this file")
    group = parser.add_argument_group("your own data")
    group.add_argument("--coco-root", help="a COCO folder, such as tools/prepare_data.py coco --mini cuts")
    group.add_argument("--expected", help="file of stored values (default: the shapes world's)")
    group.add_argument("--weights", help="folder of the stored detectors (default: the shapes world's)")
    group.add_argument("--checkpoint", help="backbone to run on your data (default: the positive control)")
    group = parser.add_argument_group("when weights or stored values are made anew")
    group.add_argument("--make-weights", action="store_true", help="train the stored detectors into --weights")
    group.add_argument(
        "--seeds",
        type=int,
        nargs="+",
        default=list(training.SEEDS),
        help="of --update --tier training: tolerances are the spread over them (default: 0 1 2)",
    )
    arguments = parser.parse_args()
    if arguments.seeds[0] != training.SEEDS[0] or len(set(arguments.seeds)) < 3 or min(arguments.seeds) < 0:
        raise InputError("--seeds takes 3 or more different seeds, the first of them 0, which a later check repeats")
    if arguments.update and arguments.tier == "instant":
        raise InputError("--update: tier instant has no scores to store; it is for inference and training")
    return arguments


if __name__ == "__main__":
    run_command(main)
