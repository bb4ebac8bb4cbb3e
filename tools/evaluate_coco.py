"""Score any program's detections on COCO-format data: boxes and masks, the twelve official numbers by pycocotools."""

from __future__ import annotations

from benchmarks.coco.evaluation import evaluate_files
from benchmarks.coco.scoring import BOX_SCORERS, MASK_SCORERS
from benchmarks.errors import command_parser, run_command
from benchmarks.files import write_json


def main() -> None:
    parser = command_parser(
        __doc__,
        "python tools/evaluate_coco.py --annotations data/coco/annotations/instances_val2017.json \\\n"
        "      --detections detections.json --json scores.json",
    )
    parser.add_argument("--annotations", required=True, help="COCO instance file; ids of any kind")
    parser.add_argument(
        "--detections", required=True, help="COCO results format: a list of image_id, category_id, score, bbox and mask"
    )
    parser.add_argument("--boxes-only", action="store_true", help="no masks, whether there are some or not")
    parser.add_argument("--boxes-by", choices=BOX_SCORERS, default=BOX_SCORERS[0], help="default: %(default)s")
    parser.add_argument("--masks-by", choices=MASK_SCORERS, default=MASK_SCORERS[0], help="default: %(default)s")
    parser.add_argument("--json", metavar="FILE", help="write the scores there")
    args = parser.parse_args()

    scores = evaluate_files(args.annotations, args.detections, args.boxes_only, args.boxes_by, args.masks_by)
    for note in scores["notes"]:
        print(f"note: {note}")
    for kind in ("bbox", "segm"):
        values = scores.get(kind, {})
        print("\n".join(f"{kind} {n:6}{'-' if v is None else format(v, '.3f'):>8}" for n, v in values.items()))
    print("percent; - : the annotations have no object of that size")
    if args.json:
        write_json(args.json, scores)


if __name__ == "__main__":
    run_command(main)
