"""How long does the official score take at the full size of the test set, and how much memory?

Writes ground truth and detections of the 20 test sequences, at the official lengths and with as many objects as
UAVDT has, into a temporary folder; then scores the files in a process of its own. With ``--octave FOLDER``, which holds
``evalRes.m``, ``compOas.m`` and ``VOCap.m`` of the toolkit (or of VisDrone/VisDrone2018-DET-toolkit, ``utils/``), three
sequences of about 80,000 detections are also scored by those functions, and the ratio of medians is printed.

    python tests/performance/uavdt_scoring.py --detections 2000000
    python tests/performance/uavdt_scoring.py --detections 80000 --sequences M0209,M0601,M1004 --octave toolkit/utils
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.uavdt.rows import write_detections
from benchmarks.uavdt.sequences import ROWS, TEST_FRAMES

TOOL = Path(__file__).resolve().parents[2] / "tools" / "evaluate_uavdt.py"

#: The loops of the toolkit's CalculateDetectionPR_overall.m around its own functions, for chosen sequences.
OCTAVE = """
addpath('{toolkit}'); clock_start = tic; matched = []; count = 0;
names = {{{names}}}; lengths = [{lengths}];
for s = 1:numel(names)
  truth = load(['{truth}/' names{{s}} '_gt_whole.txt']); found = load(['{found}/' names{{s}} '.txt']);
  if ~ismember(names{{s}}, {{'M0209', 'M0801'}})
    region = dlmread(['{truth}/' names{{s}} '_gt_ignore.txt']);
    for k = 1:size(region, 1)
      r = region(k, :);
      gone = found(:,1) == r(1) & found(:,3) > r(3) & found(:,4) > r(4);
      gone &= found(:,3) + found(:,5) < r(3) + r(5) & found(:,4) + found(:,6) < r(4) + r(6);
      found(gone, :) = [];
    end
  end
  for frame = 1:lengths(s)
    objects = truth(truth(:,1) == frame, 3:6);
    [g, d] = evalRes([objects zeros(size(objects, 1), 1)], found(found(:,1) == frame, 3:7));
    matched = cat(1, matched, d(:, 5:6)); count = count + size(g, 1);
  end
end
[~, order] = sort(-matched(:, 1));
tp = cumsum(matched(order, 2) == 1); fp = cumsum(matched(order, 2) == 0);
printf('{{"AP": %.15g, "seconds": %.6f}}', 100 * VOCap(tp / max(1, count), tp ./ max(1, fp + tp)), toc(clock_start));
"""


def write_case(folder: Path, names: list[str], detections: int) -> None:
    """Objects that stand still for a while, and detections: near every object, exact, doubled, and anywhere."""
    rng = np.random.default_rng(0)
    for part in ("truth", "found"):
        (folder / part).mkdir()
    frames = sum(TEST_FRAMES[name] for name in names)
    for name in names:
        length = TEST_FRAMES[name]
        objects, regions = ROWS[name]
        for suffix, count, low, high in (("_gt_whole", objects, 8, 80), ("_gt_ignore", regions, 60, 300)):
            rows = np.c_[
                rng.integers(1, length + 1, count),
                np.arange(count),
                rng.integers(0, 940, count),
                rng.integers(0, 460, count),
                rng.integers(low, high, (count, 2)),
                np.ones((count, 3), int),
            ]
            (folder / "truth" / f"{name}{suffix}.txt").write_text("".join(",".join(map(str, r)) + "\n" for r in rows))
            if suffix == "_gt_whole":
                truth = rows
        count = detections * length // frames
        near = truth[rng.integers(0, objects, count // 2), :6]
        far = np.c_[
            rng.integers(1, length + 1, count - len(near)),
            np.zeros(count - len(near)),
            rng.uniform(0, 940, count - len(near)),
            rng.uniform(0, 460, count - len(near)),
            rng.uniform(8, 80, (count - len(near), 2)),
        ]
        near = near + np.c_[np.zeros((len(near), 2)), rng.normal(0, 1.5, (len(near), 4)).round(2)]
        rows = np.concatenate([near, far])
        rows[:, 4:6] = rows[:, 4:6].clip(1)
        frame, box, certainty = rows[:, 0].astype(int), rows[:, 2:6].round(2), rng.random(count).round(6)
        write_detections(folder / "found" / f"{name}.txt", frame, box, certainty)


def score(folder: Path, names: list[str]) -> tuple[float, float]:
    """AP and wall seconds of the whole command, the interpreter's start included."""
    start = time.perf_counter()
    command = [sys.executable, TOOL, "--ground-truth", folder / "truth", "--detections", folder / "found"]
    command += ["--sequences", ",".join(names), "--json", folder / "scores.json"]
    environment = {**os.environ, "PYTHONPATH": str(TOOL.parents[1])}
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
    return json.loads((folder / "scores.json").read_text())["AP"], time.perf_counter() - start


def score_in_octave(folder: Path, names: list[str], toolkit: str) -> tuple[float, float]:
    """AP and seconds of the toolkit's functions, without Octave's start."""
    script = OCTAVE.format(
        toolkit=Path(toolkit).resolve(),
        names=", ".join(f"'{name}'" for name in names),
        lengths=", ".join(str(TEST_FRAMES[name]) for name in names),
        truth=folder / "truth",
        found=folder / "found",
    )
    done = subprocess.run(["octave-cli", "--no-gui", "--eval", script], capture_output=True, text=True)
    result = json.loads(done.stdout)
    return result["AP"], result["seconds"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--detections", type=int, default=2_000_000)
    parser.add_argument("--sequences", default=",".join(TEST_FRAMES))
    parser.add_argument("--octave", metavar="FOLDER")
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()

    names = args.sequences.split(",")
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        write_case(folder, names, args.detections)
        frames, objects = sum(TEST_FRAMES[n] for n in names), sum(ROWS[n][0] for n in names)
        print(f"{len(names)} sequences, {frames} frames, {objects} objects, {args.detections} detections")
        runs, references = [], []
        for _ in range(args.repeats):
            runs.append(score(folder, names))
            if args.octave:
                references.append(score_in_octave(folder, names, args.octave))
        memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
        ours = statistics.median(seconds for _, seconds in runs)
        print(f"median of {args.repeats}: {ours:.2f} s for the whole command, AP {runs[0][0]:.6f}")
        if references:
            theirs = statistics.median(seconds for _, seconds in references)
            print(f"Octave: {theirs:.2f} s, AP {references[0][0]:.6f}; ratio {theirs / ours:.0f}")
        else:
            print(f"peak memory {memory:.2f} GiB")


if __name__ == "__main__":
    main()
