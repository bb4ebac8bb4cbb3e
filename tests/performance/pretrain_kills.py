"""Can a run lose work? Kill one again and again with SIGKILL, then compare it with a run that was left alone.

Kills come at random moments: while it starts, steps or saves (it saves after every third step). Weights and log must be
identical, bit for bit. With ``--processes 2`` one process is killed each time, and ``torchrun`` starts both again.

    python tests/performance/pretrain_kills.py --kills 20
    python tests/performance/pretrain_kills.py --kills 5 --processes 2
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

CONFIG = """
model: {embed_dim: 64, depth: 2, num_heads: 2, patch_size: 8, image_size: 48, drop_path: 0.1, clusters: 64,
        head_hidden_dim: 64, head_bottleneck_dim: 32}
views: {local_size: 24, local_views: 2}
objective: {centering: true}
run: {precision: fp32, device: cpu, log_every: 1, snapshot_steps: 3, picture_epochs: 5, tensorboard: false, epochs: 30}
"""


def command(folder: Path, out: str, processes: int, workers: int) -> list[str]:
    launcher = [sys.executable]
    if processes > 1:
        launcher += ["-m", "torch.distributed.run", "--standalone", "--max-restarts=99"]
        launcher += [f"--nproc_per_node={processes}"]
    values = [f"data.root={folder / 'images'}", f"run.out={folder / out}", f"data.workers={workers}"]
    return [*launcher, "-m", "pretrain", str(folder / "config.yaml"), *values, f"run.batch={4 // processes}"]


def start(arguments: list[str], errors: Path) -> subprocess.Popen:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with open(errors, "w") as stream:
        return subprocess.Popen(
            arguments, env=environment, stdout=subprocess.DEVNULL, stderr=stream, start_new_session=True
        )


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rng, numbers = random.Random(args.seed), np.random.default_rng(args.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "images").mkdir()
        for index in range(24):
            noise = numbers.integers(0, 255, (60, 80, 3), dtype=np.uint8)
            Image.fromarray(noise).save(folder / "images" / f"{index}.png")
        (folder / "config.yaml").write_text(CONFIG)
        errors = folder / "stderr"
        whole = start(command(folder, "whole", args.processes, args.workers), errors)
        assert whole.wait() == 0, errors.read_text()
        arguments, log = command(folder, "killed", args.processes, args.workers), folder / "killed" / "log.jsonl"
        steps = []
        for kill in range(args.kills):
            before = lines(log)
            if args.processes == 1 or kill == 0:
                process = start(arguments, errors)
            if kill % 5 == 4:  # while it starts
                time.sleep(rng.uniform(0.5, 4.0))
            else:  # while it trains: wait for a new line in the log
                while process.poll() is None and lines(log) == before:
                    time.sleep(0.02)
                time.sleep(rng.uniform(0.0, 0.6))
            if process.poll() is not None:
                print(f"ended by itself after {kill} kills: {errors.read_text()[-300:]}")
                break
            if args.processes == 1:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            elif victims := children(process.pid):
                os.kill(rng.choice(victims), signal.SIGKILL)
            steps.append(lines(log))
        if args.processes == 1:
            process = start(arguments, errors)
        assert process.wait() == 0, errors.read_text()[-2000:]
        print(f"{len(steps)} kills; lines in the log at each: {steps}; {lines(log)} at the end")
        one, other = (torch.load(folder / n / "checkpoint.pth", weights_only=True) for n in ("whole", "killed"))
        different = [
            f"{branch}.{key}"
            for branch in ("student", "teacher", "flsl_loss")
            for key in one[branch]
            if not torch.equal(one[branch][key], other[branch][key])
        ]
        same_log = (folder / "whole" / "log.jsonl").read_bytes() == log.read_bytes()
        print(f"different tensors: {different or 'none'}; log identical: {same_log}")
        leftovers = [p.name for p in (folder / "killed").rglob(".*.pth")]
        print(f"half-written files left behind: {leftovers or 'none'}")
        return int(bool(different) or not same_log or bool(leftovers))


if __name__ == "__main__":
    sys.exit(main())
