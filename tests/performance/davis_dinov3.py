"""How fast is a frame of dinov3-m on a ViT-S/16 against the notebook's way of working, and in how much memory?

480x854 video, 960x1712 input: 60x107 tokens. The reference holds the similarities of all tokens of the frame to all
tokens of the whole context, hides those out of reach, keeps the five largest and their ties, takes a softmax over all,
and enlarges every label's probabilities to the video's size before it stretches them; it is written here from these
equations. Features are random and given: what is timed is everything after the network, whose own time is the same in
both. Times alternate in one process; peak memory is what a process of its own reaches above what it had before.

    python tests/performance/davis_dinov3.py --repeats 3
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from davis_propagation import status

from benchmarks.davis.frames import harden, input_size
from benchmarks.davis.propagation import Windows, propagate_labels
from benchmarks.davis.protocol import DINOV3_M as PROTOCOL

PATCH, DIM, CONTEXT, LABELS = 16, 384, 8, 3


def reach(height: int, width: int) -> torch.Tensor:
    """``[h*w, h*w]``: whether two tokens are no farther than the radius from each other."""
    places = torch.stack(torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij"), -1).flatten(0, 1)
    return torch.cdist(places.float(), places.float()) <= PROTOCOL.radius


def whole(
    target: torch.Tensor, features: torch.Tensor, labels: torch.Tensor, near: torch.Tensor, size: tuple[int, int]
) -> np.ndarray:
    """The label map of a frame with every similarity in memory."""
    height, width, _ = target.shape
    similarity = target.flatten(0, 1) @ features.flatten(0, 2).T  # [h*w, n*h*w]
    similarity = similarity.unflatten(1, (len(features), -1))
    similarity = torch.where(near[:, None], similarity, -torch.inf).flatten(1)
    least = similarity.topk(PROTOCOL.topk, dim=1).values[:, -1:]
    similarity = torch.where(similarity >= least, similarity, -torch.inf)
    weights = (similarity / PROTOCOL.temperature).softmax(1)
    soft = (weights @ labels.permute(0, 2, 3, 1).flatten(0, 2)).T.unflatten(1, (height, width))
    soft = F.interpolate(soft[None], size, mode="nearest")[0]
    least, most = soft.amin((1, 2), keepdim=True), soft.amax((1, 2), keepdim=True)
    return torch.nan_to_num((soft - least) / (most - least)).argmax(0).to(torch.uint8).numpy()


def tiled(
    target: torch.Tensor, features: torch.Tensor, labels: torch.Tensor, windows: Windows, size: tuple[int, int]
) -> np.ndarray:
    """The label map of a frame as the suite makes it."""
    soft = propagate_labels(target, list(features), list(labels), PROTOCOL, windows=windows)
    return harden(soft, np.arange(LABELS, dtype=np.uint8), PATCH, size, PROTOCOL)


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--video", type=int, nargs=2, default=(480, 854), help="height and width")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--cpu-time", action="store_true", help="instead of wall time, where others use the machine")
    parser.add_argument("--peak-of", choices=("tiled", "whole"), help="print one method's peak memory and stop")
    args = parser.parse_args()
    clock = time.process_time if args.cpu_time else time.perf_counter

    video = tuple(args.video)
    height, width = (side // PATCH for side in input_size(*video, PATCH, PROTOCOL))
    generator = torch.Generator().manual_seed(0)
    features = F.normalize(torch.randn(CONTEXT + 1, height, width, DIM, generator=generator), dim=-1)
    labels = torch.rand(CONTEXT, LABELS, height, width, generator=generator).softmax(1)
    near = reach(height, width) if args.peak_of != "tiled" else None
    windows = Windows(PROTOCOL, torch.device("cpu"))
    methods = {
        "tiled": lambda: tiled(features[0], features[1:], labels, windows, video),
        "whole": lambda: whole(features[0], features[1:], labels, near, video),
    }
    if args.peak_of:
        before = status("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        methods[args.peak_of]()
        print(json.dumps(status("VmHWM") - before))
        return
    peaks = {}
    for name in methods:
        command = [sys.executable, *sys.argv, "--peak-of", name]
        peaks[name] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    maps = {}
    for _ in range(args.repeats):
        for name, method in methods.items():
            start = clock()
            maps[name] = method()
            seconds[name].append(clock() - start)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    print(f"{height}x{width} tokens of {DIM}, {CONTEXT} context frames, {torch.get_num_threads()} thread(s)")
    for name in methods:
        print(f"{name}: median of {args.repeats} {medians[name]:.3f} s a frame, peak {peaks[name]:.0f} MiB")
    print(f"whole / tiled: time {medians['whole'] / medians['tiled']:.1f}", end=", ")
    differing = (maps["whole"] != maps["tiled"]).mean()
    print(f"memory {peaks['whole'] / peaks['tiled']:.1f}; pixels that differ {differing:.2%}")


if __name__ == "__main__":
    main()
