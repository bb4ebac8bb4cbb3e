"""Score detections on VisDrone-DET by the official rule: AP and AR over IoU 0.5:0.95 outside of ignored regions."""

from __future__ import annotations

from benchmarks.errors import command_parser, run_command
from benchmarks.files import write_json
from benchmarks.visdrone.evaluation import evaluate


def main() -> None:
    parser = command_parser(
        __doc__,
        "python tools/evaluate_visdrone.py --ground-truth data/visdrone/VisDrone2019-DET-val \\\n"
        "      --detections runs/visdrone/detections --json scores.json",
    )
    parser.add_argument("--ground-truth", required=True, help="folder with images/ and annotations/")
    parser.add_argument("--detections", required=True, help="folder of one text file a picture, the toolkit's format")
    parser.add_argument("--json", metavar="FILE", help="write the scores there")
    arguments = parser.parse_args()
    scores = evaluate(arguments.ground_truth, arguments.detections)
    for name, value in scores["per_class"].items():
        print(
            f"{name:16} AP {value['AP']:6.2f}  AP50 {value['AP50']:6.2f}  "
            f"{value['objects']:>7} objects in {value['pictures']} pictures"
        )
    for name in ("AP", "AP50", "AP75", "AR1", "AR10", "AR100", "AR500"):
        print(f"{name:16} {scores[name]:9.2f}")
    print(f"not official: each class once, AP {scores['class_mean_AP']:.2f}")
    print(f"rule: {scores['protocol']}; {scores['images']} pictures, {scores['num_ignored']} detections ignored")
    if arguments.json:
        write_json(arguments.json, scores)


if __name__ == "__main__":
    run_command(main)
