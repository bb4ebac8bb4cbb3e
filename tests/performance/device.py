"""What this suite does on a GPU, in fifteen minutes or so: scores against a CPU's, speed beside others' ways in turns.

Each part runs in a process of its own, within its budget; what it found is in the one JSON file at once. The same
command goes on where it was stopped: parts that are done stay, those that failed or ran out of time are tried again. A
part that fails is recorded with its line of error, and the rest goes on. What the fields mean: docs/device/README.md.

    python tests/performance/device.py --out docs/device/h100.json
    python tests/performance/device.py --out docs/device/h100.json --only flsl_s16 davis_frames --again
    python tests/performance/device.py --tiny --out tiny.json     # every part on a CPU, in seconds; no figures

Exit code 0: every part that was asked for is done. 1: one is not. 2: the file is another's.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from functools import partial
from pathlib import Path

from device_parts import augmentation, davis, detectors, facts, flsl, knn, runs, scores
from device_parts.book import Part, Size, is_done, measure, open_book

from benchmarks.errors import run_command

#: In this order; budgets in seconds on a GPU.
PARTS = {
    "set_up": Part(facts.set_up, 30),
    "instant": Part(partial(scores.tier, "instant"), 90),
    "inference": Part(partial(scores.tier, "inference"), 60),
    "flsl_s16": Part(partial(flsl.steps, "S/16"), 240),
    "flsl_s8": Part(partial(flsl.steps, "S/8"), 240),
    "flsl_b16": Part(partial(flsl.steps, "B/16"), 240),
    "augmentation": Part(augmentation.augmentation, 30),
    "detectors": Part(detectors.steps, 75),
    "davis_frames": Part(davis.frames, 30),
    "davis_videos": Part(davis.videos, 75),
    "knn": Part(knn.search, 60),
    "resume": Part(runs.resume, 45),
    "two_processes": Part(runs.two_processes, 45),
}
#: On a CPU a part takes seconds, on one that others use more.
TINY_BUDGET_S = 900


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, metavar="FILE", help="the JSON file; goes on with what is there")
    parser.add_argument("--only", nargs="+", choices=PARTS, metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--again", action="store_true", help="measure parts anew that are done")
    parser.add_argument("--tiny", action="store_true", help="every part at a size for a CPU: does it run?")
    parser.add_argument("--peak-tflops", type=float, help="of the GPU in bf16, where the script does not know it")
    args = parser.parse_args()
    path = Path(args.out)
    book = open_book(path, args.tiny)
    names = args.only or list(PARTS)
    for name in names:
        if is_done(book, name) and not args.again:
            print(f"{name}: done before", file=sys.stderr)
            continue
        with tempfile.TemporaryDirectory() as folder:
            part = PARTS[name]._replace(budget_s=TINY_BUDGET_S) if args.tiny else PARTS[name]
            measure(path, book, name, part, Size(args.tiny, Path(folder), args.peak_tflops))
        found = book["parts"][name]
        print(f"{name}: {found['status']}, {found['wall_s']:.1f} s, {len(found['rows'])} rows", file=sys.stderr)
        if found["error"]:
            print(f"  {found['error']}", file=sys.stderr)
    missing = [name for name in names if not is_done(book, name)]
    if missing:
        print(f"not done: {', '.join(missing)}; the same command tries them again", file=sys.stderr)
    return int(bool(missing))


if __name__ == "__main__":
    run_command(main)
