"""From nothing to a table: make the miniature world, pretrain FLSL on it, judge it between two controls.

Beside the short run stands the shipped FLSL of the same recipe on more pictures (docs/demo.md). With --data-root the
same runs, but for it, on real data in the data sets' own layouts (imagenet/, davis/, coco/ below it).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

from benchmarks import shapes
from benchmarks.checkpoints.convert import convert
from benchmarks.coco.dataset import CocoRoot
from benchmarks.controls import FLSL_SHAPES, POSITIVE_CONTROL, write_random_control
from benchmarks.core.model import load_model
from benchmarks.core.result import Result
from benchmarks.engines.mmdet import require_mmdet
from benchmarks.errors import InputError, command_parser, run_command
from benchmarks.files import require_file, write_json
from benchmarks.quickstart import Effort, draw, judge, require_data
from benchmarks.tables import overview

ROOT = Path(__file__).resolve().parents[1]
SETS = ("coco", "davis", "imagenet")


def main() -> int:
    parser = command_parser(__doc__, "python tools/quickstart.py --out runs/demo")
    parser.add_argument("--out", default="runs/demo", help="everything goes there (default: %(default)s)")
    parser.add_argument("--data-root", help="folder with coco/, davis/ and imagenet/; default: the miniature world")
    parser.add_argument("--epochs", type=int, default=16, help="of FLSL; 0: the controls alone (default: %(default)s)")
    parser.add_argument("--detector-steps", type=int, default=Effort.detector_steps, help="default: %(default)s")
    parser.add_argument("--scale", choices=tuple(shapes.WORLD_SCALES), default="demo", help="size of the world")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="of the world, the networks and the runs")
    parser.add_argument("--json", help="write the records to this file as well")
    arguments = parser.parse_args()
    if arguments.epochs < 0 or arguments.detector_steps < 1 or min(arguments.seeds) < 0:
        raise InputError("--epochs and --seeds must be 0 or more, --detector-steps 1 or more")
    began, out = time.monotonic(), Path(arguments.out)
    require_file(POSITIVE_CONTROL, "positive control")
    require_mmdet()
    results: list[Result] = []
    for seed in dict.fromkeys(arguments.seeds):
        results += run_seed(seed, out, arguments)
    print(overview.text(results))
    print(f"records: {out / 'records'}   pictures: {', '.join(str(p) for p in sorted(out.glob('seed*/pictures')))}")
    print(f"{(time.monotonic() - began) / 60:.1f} minutes")
    if arguments.json:
        write_json(arguments.json, [result.to_dict() for result in results])
    return 0


def run_seed(seed: int, out: Path, arguments: argparse.Namespace) -> list[Result]:
    """World, FLSL twice, both controls, three benchmarks and the pictures for one seed, under ``out/seed<N>``."""
    folder = out / f"seed{seed}"
    root = Path(arguments.data_root) if arguments.data_root else folder / "world"
    if not arguments.data_root:
        shapes.write_world(root, arguments.scale, seed, SETS)
    coco = require_data(root)
    random = folder / "checkpoints" / "random.safetensors"
    write_random_control(random, seed)
    models = [load_model(random, name="random")]
    if arguments.epochs:
        flsl = folder / "checkpoints" / "flsl.safetensors"
        convert(pretrain(coco, seed, folder / "flsl", arguments.epochs), flsl)
        models.append(load_model(flsl, name="flsl"))
        if not arguments.data_root:
            models.append(load_model(FLSL_SHAPES, name="flsl-shipped"))
    models.append(load_model(POSITIVE_CONTROL, name="supervised"))
    results = judge(models, root, out, Effort(detector_steps=arguments.detector_steps), seed)
    draw(results, models, root, out, folder / "pictures")
    return results


def pretrain(data: CocoRoot, seed: int, out: Path, epochs: int) -> Path:
    """Run ``python -m pretrain`` on the detector's training images; returns the training file."""
    batch = min(32, data.train_images)
    command = [sys.executable, "-m", "pretrain", str(ROOT / "pretrain" / "configs" / "shapes.yaml")]
    command += [f"data.root={data.path / 'train2017'}", f"run.out={out}", f"run.seed={seed}"]
    command += [f"run.epochs={epochs}", f"run.batch={batch}", f"objective.projected_epochs={epochs}"]
    code = subprocess.run(command, check=False).returncode
    if code:
        raise SystemExit(code)
    return out / "checkpoint.pth"


if __name__ == "__main__":
    run_command(main)
