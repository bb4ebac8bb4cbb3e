"""Can a detector learn eight real images by heart? The first thing to ask of an integration that scores badly.

A run on a few images, trained and scored on the same, without augmentation. Whatever keeps a detector from learning
(frozen or forgotten parameters, labels or boxes in another order, two pipelines that disagree) keeps it from this, in
minutes. Prints AP50 of boxes and masks, and exits with 1 when either is below --at-least.

    python tests/performance/coco_overfit.py --coco-root data/coco --detector fpn
    python tests/performance/coco_overfit.py --coco-root data/coco --detector vitdet --checkpoint mine.safetensors
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from benchmarks.checkpoints.card import Architecture
from benchmarks.checkpoints.convert import canonical
from benchmarks.coco.dataset import open_coco
from benchmarks.coco.pictures import write_detections
from benchmarks.coco.recipe import Options
from benchmarks.coco.run import CONFIGS, run
from benchmarks.controls import write_random_control
from benchmarks.errors import run_command
from benchmarks.files import read_json

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from coco_subset import choose_images, write_subset

DETECTORS = {"fpn": "mask_rcnn_vit_fpn_overfit", "vitdet": "mask_rcnn_vitdet_overfit"}


def tiny_vit(out: Path, side: int, seed: int) -> Path:
    """Write a ViT-Ti/16 with random weights, its learned positions on the grid of images of ``side`` pixels."""
    path = out / f"vit_ti16_{side}.safetensors"
    write_random_control(path, seed, Architecture(192, 12, 3, 16, side))
    return path


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--coco-root", required=True, help="any folder in COCO's layout; its validation images are used"
    )
    parser.add_argument("--detector", choices=DETECTORS, default="fpn", help="default: %(default)s")
    parser.add_argument("--out", default="runs/overfit")
    parser.add_argument("--checkpoint", help="default: a ViT-Ti/16 with random weights")
    parser.add_argument("--images", type=int, default=8, help="default: %(default)s, those with 2 to 8 objects")
    parser.add_argument("--updates", type=int, help="default: the config's")
    parser.add_argument("--precision", help="default: the config's, bf16")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--at-least", type=float, nargs=2, default=(60.0, 50.0), metavar=("BOX", "MASK"))
    args = parser.parse_args()
    out, start, cpu = Path(args.out), time.monotonic(), time.process_time()
    checkpoint = canonical(args.checkpoint) if args.checkpoint else tiny_vit(out, 320, args.seed)
    whole = open_coco(args.coco_root)
    data = write_subset(whole, choose_images(whole, args.images), out / "coco")
    options, folder = Options(updates=args.updates, precision=args.precision), out / args.detector
    config = CONFIGS / f"{DETECTORS[args.detector]}.py"
    result = run(checkpoint, data, folder, config, seed=args.seed, options=options)
    found = read_json(folder / "detections.json")
    picture = out / f"{args.detector}.png"
    write_detections(picture, data.annotations("val"), data.path / "val2017", found, args.images, threshold=0.5)
    box, mask = (result["metrics"][f"{kind}/AP50"] for kind in ("bbox", "segm"))
    schedule = result["run"]["schedule"]
    print(f"AP50: boxes {box:.1f}, masks {mask:.1f} on {data.val_images} images; pictures: {picture}")
    print(f"{schedule['updates']} updates of {schedule['batch']} images, {schedule['precision']}")
    print(
        f"{(time.monotonic() - start) / 60:.1f} minutes, {(time.process_time() - cpu) / 60:.1f} of them on a processor"
    )
    return int(box < args.at_least[0] or mask < args.at_least[1])


if __name__ == "__main__":
    run_command(main)
