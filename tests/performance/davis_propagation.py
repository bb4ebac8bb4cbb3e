"""How fast is label propagation at 480x832 against the published formula, and in how much memory?

The reference holds the similarities of all tokens of the frame to all tokens of the whole context, multiplies
them by a mask, takes the five largest of each column and normalises; it is written here from these equations.
Features are random and given, so only propagation is timed. Times alternate in one process, and their medians are
compared; peak memory is what a process of its own reaches above what it had before.

    python tests/performance/davis_propagation.py --patch 8 --repeats 3
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F

from benchmarks.davis.propagation import propagate_labels
from benchmarks.davis.protocol import DINO


def reach_mask(height: int, width: int, radius: int) -> torch.Tensor:
    """``[h*w, h*w]`` of zeros and ones: which tokens are within ``radius`` rows and columns of each other."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    y, x = y.flatten(), x.flatten()
    return (((y[:, None] - y).abs() <= radius) & ((x[:, None] - x).abs() <= radius)).float()


def dense_propagation(
    target: torch.Tensor, features: torch.Tensor, labels: torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
    """What ``propagate_labels`` computes, frame by frame of the context and with the whole affinity in memory."""
    height, width, _ = target.shape
    queries = target.flatten(0, 1).expand(len(features), -1, -1)
    affinity = torch.exp(torch.bmm(queries, features.flatten(1, 2).transpose(1, 2)) / DINO.temperature)
    affinity *= mask
    affinity = affinity.transpose(2, 1).reshape(-1, height * width)  # [context * keys, queries]
    least = affinity.topk(DINO.topk, dim=0).values.amin(0)
    affinity[affinity < least] = 0
    affinity = affinity / affinity.sum(0, keepdim=True)
    return (labels.transpose(0, 1).flatten(1) @ affinity).view(-1, height, width)


def case(patch: int, dim: int, context: int, objects: int) -> tuple[torch.Tensor, ...]:
    """Random unit features of a frame and its context, and soft labels."""
    height, width = 480 // patch, 832 // patch
    generator = torch.Generator().manual_seed(0)
    features = F.normalize(torch.randn(context + 1, height, width, dim, generator=generator), dim=-1)
    labels = torch.rand(context, objects + 1, height, width, generator=generator).softmax(1)
    return features[0], features[1:], labels


def status(name: str) -> float:
    """A figure of this process's memory in MiB, from Linux."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patch", type=int, default=8)
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--context", type=int, default=8, help="context frames: the first and the last seven")
    parser.add_argument("--objects", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--cpu-time", action="store_true", help="instead of wall time, where others use the machine")
    parser.add_argument("--peak-of", choices=("windowed", "dense"), help="print one method's peak memory and stop")
    args = parser.parse_args()
    clock = time.process_time if args.cpu_time else time.perf_counter

    target, features, labels = case(args.patch, args.dim, args.context, args.objects)
    mask = reach_mask(*target.shape[:2], DINO.radius) if args.peak_of != "windowed" else None
    methods = {
        "windowed": lambda: propagate_labels(target, features, labels, DINO),
        "dense": lambda: dense_propagation(target, features, labels, mask),
    }
    if args.peak_of:
        before = status("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        methods[args.peak_of]()
        print(json.dumps(status("VmHWM") - before))
        return
    peaks = {}
    for name in methods:
        done = subprocess.run(
            [sys.executable, *sys.argv, "--peak-of", name], capture_output=True, text=True, check=True
        )
        peaks[name] = json.loads(done.stdout)
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    results = {}
    for _ in range(args.repeats):
        for name, method in methods.items():
            start = clock()
            results[name] = method()
            seconds[name].append(clock() - start)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    difference = (results["windowed"] - results["dense"]).abs().max().item()
    grid = "x".join(map(str, target.shape[:2]))
    print(f"{grid} tokens of {args.dim}, {args.context} context frames, {torch.get_num_threads()} thread(s)")
    for name in methods:
        print(f"{name:>9}: median of {args.repeats} {medians[name]:.3f} s a frame, peak {peaks[name]:.0f} MiB")
    print(f"dense / windowed: time {medians['dense'] / medians['windowed']:.1f}", end=", ")
    print(f"memory {peaks['dense'] / peaks['windowed']:.1f}; largest difference of a label {difference:.1e}")


if __name__ == "__main__":
    main()
