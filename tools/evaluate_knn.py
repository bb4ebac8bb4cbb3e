"""Judge a checkpoint by bbox-aligned k-NN on ImageNet (the metric of the paper's Tables 5 and 6)."""

from __future__ import annotations

from benchmarks.core.model import load_model
from benchmarks.devices import add_device_argument
from benchmarks.errors import InputError, command_parser, run_command
from benchmarks.files import write_json
from benchmarks.knn import processes
from benchmarks.knn.bank import DTYPES
from benchmarks.knn.run import KS, evaluate
from benchmarks.processes import leave


def main() -> int:
    parser = command_parser(
        __doc__,
        "python tools/evaluate_knn.py --checkpoint flsl_vits16.pth --imagenet-root data/imagenet --json runs/knn.json",
    )
    parser.add_argument("--checkpoint", required=True, help="canonical .safetensors, or any file that convert.py knows")
    parser.add_argument("--imagenet-root", required=True, help="the folder with train/, val/ and Annotations/CLS-LOC/")
    parser.add_argument(
        "--protocol",
        choices=("official", "corrected"),
        default="corrected",
        help="official: as published, with its misplaced boxes and a top-5 that passes 100 (default: %(default)s)",
    )
    parser.add_argument("--heads", type=int, help="attention heads, where the checkpoint does not say")
    parser.add_argument(
        "--k", type=int, nargs="+", default=list(KS), help="numbers of neighbours (default: %(default)s)"
    )
    add_device_argument(parser)
    parser.add_argument("--batch-size", type=int, default=64, help="images at a time (default: %(default)s)")
    parser.add_argument("--workers", type=int, help="processes that read images (default: one a core, at most 8)")
    parser.add_argument("--bank", help="folder to keep the training features in; default: they stay in memory")
    parser.add_argument("--dtype", choices=DTYPES, default="fp32", help="of kept features (default: %(default)s)")
    parser.add_argument(
        "--cache",
        default="runs/knn_index",
        help="folder for the list of boxes, read from XML once (default: %(default)s)",
    )
    parser.add_argument("--pictures", help="draw some val images there, with their nine patches and votes")
    parser.add_argument("--json", help="write the accuracies there")
    args = parser.parse_args()

    model = load_model(args.checkpoint, heads=args.heads)
    try:
        scores = evaluate(
            model,
            args.imagenet_root,
            args.protocol,
            args.k,
            args.device,
            args.batch_size,
            args.workers,
            bank_folder=args.bank,
            dtype=args.dtype,
            cache=args.cache,
            pictures=args.pictures,
        )
    except InputError:
        # All processes of torchrun end with the same message; one says it.
        if processes.rank():
            return 2
        raise
    if processes.rank():
        return 0
    print(f"{scores['train_images']} train and {scores['val_images']} val images, protocol {scores['protocol']}")
    for split, counts in scores["left_out"].items():
        if any(counts.values()):
            print(
                f"left out of {split}: {counts['no_box']} without box, {counts['no_box_in_crop']} with none in the crop"
            )
    print("   k   top-1   top-5   single vote (stricter, not of the paper)")
    for k in scores["top1"]:
        print(f"{k:>4} {scores['top1'][k]:7.2f} {scores['top5'][k]:7.2f} {scores['single_vote'][k]:7.2f}")
    if args.json:
        write_json(args.json, scores)
    return 0


if __name__ == "__main__":
    try:
        run_command(main)
    finally:
        leave()
