"""Score detections on UAVDT by the official rule: class-agnostic AP at IoU 0.7 outside of ignored regions."""

from __future__ import annotations

import sys

from benchmarks.errors import InputError, command_parser, run_command
from benchmarks.files import write_json
from benchmarks.uavdt.evaluation import COCO_IOUS, evaluate


def main() -> None:
    parser = command_parser(
        __doc__,
        "python tools/evaluate_uavdt.py --ground-truth data/uavdt/UAV-benchmark-MOTD_v1.0/GT \\\n"
        "      --detections runs/uavdt/detections --json scores.json",
    )
    parser.add_argument("--ground-truth", required=True, help="folder of Mxxxx_gt_whole.txt and Mxxxx_gt_ignore.txt")
    parser.add_argument("--detections", required=True, help="folder of Mxxxx.txt, the toolkit's format")
    parser.add_argument("--sequences", help="comma-separated, also your own; default: the 20 official test sequences")
    parser.add_argument(
        "--drop-beyond",
        action="store_true",
        help="leave out rows after a sequence's last frame, as the toolkit does, instead of refusing them",
    )
    parser.add_argument("--iou", type=float, action="append", default=[], help="a further threshold (not official)")
    parser.add_argument("--coco", action="store_true", help="also a COCO-style AP at IoU 0.5:0.95 (not official)")
    parser.add_argument("--curves", metavar="PNG", help="draw precision over recall, overall and by attribute")
    parser.add_argument("--json", metavar="FILE", help="write the scores there")
    args = parser.parse_args()
    if not all(0 < iou <= 1 for iou in args.iou):
        raise InputError(f"--iou {args.iou} is outside of 0 to 1: give a share such as 0.5")

    sequences = [name.strip() for name in args.sequences.split(",")] if args.sequences else None
    ious = (*args.iou, *(COCO_IOUS if args.coco else ()))
    outcomes = evaluate(args.ground_truth, args.detections, sequences, args.drop_beyond, ious, _show)
    scores = outcomes.scores()
    for name, value in scores["per_sequence"].items():
        _print(name, value)
    for name, value in scores["attributes"].items():
        _print(name, value)
    _print("all" if scores["whole_test_set"] else "all of these", scores)
    print(f"rule: {scores['protocol']}; {scores['num_ignored']} detections ignored, {scores['num_beyond']} beyond")
    for name, value in scores.get("unofficial", {}).items():
        print(f"not official: {name} {value:.2f}")
    if args.curves:
        from benchmarks.uavdt.pictures import attribute_panels, write_curves  # scoring alone needs NumPy only

        write_curves(args.curves, attribute_panels(outcomes.curves()))
    if args.json:
        write_json(args.json, scores)


def _show(name: str) -> None:
    if sys.stderr.isatty():
        print(f"\rscoring {name} ", end="", file=sys.stderr, flush=True)


def _print(name: str, value: dict) -> None:
    found = f"{value['tp']:>7} of {value['num_gt']:>7} objects found by {value['num_det']:>8} boxes"
    print(f"{name:12} AP {value['AP']:6.2f}  {found}")


if __name__ == "__main__":
    run_command(main)
