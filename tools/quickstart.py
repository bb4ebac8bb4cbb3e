"""From nothing to a table: make the miniature world, pretrain FLSL on it, judge it between two controls.

With --data-root the same runs on real data in the data sets' own layouts (imagenet/, davis/, coco/ below it).
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from benchmarks import shapes
from benchmarks.checkpoints.convert import convert
from benchmarks.coco.dataset import open_coco
from benchmarks.controls import POSITIVE_CONTROL, write_random_control
from benchmarks.errors import command_parser, run_command
from benchmarks.files import require_file, write_json
from benchmarks.quickstart import Effort, draw, judge
from benchmarks.tables import overview

ROOT = Path(__file__).resolve().parents[1]
SETS = ("coco", "davis", "imagenet")


def main() -> int:
    parser = command_parser(__doc__, "python tools/quickstart.py --out runs/demo")
    parser.add_argument("--out", default="runs/demo", help="everything goes there (default: %(default)s)")
    parser.add_argument("--data-root", help="folder with coco/, davis/ and imagenet/; default: the miniature world")
    parser.add_argument("--epochs", type=int, default=20, help="FLSL epochs (default: %(default)s)")
    parser.add_argument("--detector-steps", type=int, default=Effort.detector_steps, help="default: %(default)s")
    parser.add_argument("--scale", choices=tuple(shapes.WORLD_SCALES), default="demo", help="size of the world")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", help="write the records to this file as well")
    arguments = parser.parse_args()
    began, out = time.monotonic(), Path(arguments.out)
    require_file(POSITIVE_CONTROL, "positive control")
    if arguments.data_root:
        root = Path(arguments.data_root)
    else:
        root = out / "world"
        shapes.write_world(root, arguments.scale, arguments.seed, SETS)
    pictures = open_coco(root).path / "train2017"
    training = [sys.executable, "-m", "pretrain", str(ROOT / "pretrain" / "configs" / "mini.yaml")]
    training += [f"data.root={pictures}", f"run.out={out / 'flsl'}", f"run.seed={arguments.seed}"]
    training += [f"run.epochs={arguments.epochs}"]
    if len(list(pictures.iterdir())) < 64:
        training.append("run.batch=8")
    done = subprocess.run(training, check=False)
    if done.returncode:
        return done.returncode
    checkpoints = {name: out / "checkpoints" / f"{name}.safetensors" for name in ("random", "flsl")}
    write_random_control(checkpoints["random"], arguments.seed)
    convert(out / "flsl" / "checkpoint.pth", checkpoints["flsl"])
    checkpoints["supervised"] = POSITIVE_CONTROL
    effort = Effort(detector_steps=arguments.detector_steps)
    records = []
    for name, path in checkpoints.items():
        print(f"== {name} ==", file=sys.stderr)
        records += judge(name, path, root, out, effort, arguments.seed)
    drawn = draw(checkpoints, root, out)
    print(overview.text(records))
    print(f"records: {out / 'records'}   pictures: {', '.join(p.name for p in drawn)} in {out / 'pictures'}")
    print(f"{(time.monotonic() - began) / 60:.1f} minutes")
    if arguments.json:
        write_json(arguments.json, records)
    return 0


if __name__ == "__main__":
    run_command(main)
