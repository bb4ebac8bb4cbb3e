"""Can Semantic FPN learn six real images by heart? The first thing to ask of an integration that scores badly.

A run on a few images, trained and scored on the same, without augmentation. Whatever keeps the network from learning
keeps it from this, in minutes. Prints mIoU and the classes' own, and exits with 1 below --at-least.

    python tests/performance/ade20k_overfit.py --data-root data --out runs/overfit
    python tests/performance/ade20k_overfit.py --data-root data --checkpoint mine.safetensors --iterations 600
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from pathlib import Path

from ade20k_subset import CONFIG, OPTIONS, write_subset
from coco_overfit import tiny_vit

from benchmarks.ade20k.dataset import open_ade20k
from benchmarks.ade20k.pictures import write_predictions
from benchmarks.ade20k.run import run
from benchmarks.checkpoints.convert import canonical
from benchmarks.engines.mmseg import ade20k_palette
from benchmarks.errors import run_command


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", required=True)
    parser.add_argument("--out", default="runs/overfit")
    parser.add_argument("--checkpoint", help="default: a ViT-Ti/16 with random weights")
    parser.add_argument("--images", type=int, default=6, help="default: %(default)s")
    parser.add_argument("--iterations", type=int, default=OPTIONS.iterations, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--at-least", type=float, default=50.0, help="percent mIoU (default: %(default)s)")
    args = parser.parse_args()
    out, start, cpu = Path(args.out), time.monotonic(), time.process_time()
    checkpoint = canonical(args.checkpoint) if args.checkpoint else tiny_vit(out, 256, args.seed)
    data = write_subset(open_ade20k(args.data_root), args.images, out / "ade20k")
    options = dataclasses.replace(OPTIONS, iterations=args.iterations)
    folder = out / "semantic_fpn"
    metrics = run(checkpoint, data, folder, "mini", options, args.seed, config=CONFIG)["metrics"]
    for name, value in metrics["per_class"].items():
        if value["IoU"] is not None:
            print(f"{name:24} IoU {value['IoU']:5.1f}")
    picture = out / "semantic_fpn.png"
    write_predictions(picture, data, {"prediction": folder / "predictions"}, ade20k_palette(), args.images)
    print(f"mIoU {metrics['mIoU']:.1f} on {args.images} images; pictures: {picture}")
    print(f"{options.iterations} steps of {options.batch} images")
    print(
        f"{(time.monotonic() - start) / 60:.1f} minutes, {(time.process_time() - cpu) / 60:.1f} of them on a processor"
    )
    return int(metrics["mIoU"] < args.at_least)


if __name__ == "__main__":
    run_command(main)
