"""How fast is label propagation against the straightforward formulation, at 480p? Prints the ratio of medians.

The reference holds the similarities of all tokens of the frame to all tokens of the whole context, as the
published program does; it is written here from the protocol's description. Features are random and given, so
only propagation is timed.

    python tests/performance/davis_propagation.py --patch 8 --repeats 5
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
import torch.nn.functional as F

from benchmarks.davis.propagation import Protocol, propagate_labels


def dense_mask(height: int, width: int, radius: int) -> torch.Tensor:
    """``[h*w, h*w]`` of zeros and ones: which tokens are within ``radius`` rows and columns of each other."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    y, x = y.flatten(), x.flatten()
    return (((y[:, None] - y).abs() <= radius) & ((x[:, None] - x).abs() <= radius)).float()


def dense_propagation(
    target: torch.Tensor, features: torch.Tensor, labels: torch.Tensor, mask: torch.Tensor, protocol: Protocol
) -> torch.Tensor:
    """What ``propagate_labels`` computes, with the whole affinity in memory."""
    affinity = torch.exp(features.flatten(1, 2) @ target.flatten(0, 1).T / protocol.temperature)  # [n, keys, queries]
    affinity = (affinity * mask).flatten(0, 1)
    last = affinity.topk(protocol.topk, dim=0).values.amin(0)
    affinity[affinity < last] = 0
    affinity = affinity / affinity.sum(0, keepdim=True)
    return (labels.transpose(0, 1).flatten(1) @ affinity).unflatten(1, target.shape[:2])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patch", type=int, default=8)
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--context", type=int, default=8, help="context frames: the first and the last seven")
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()

    protocol = Protocol()
    height, width = 480 // args.patch, 832 // args.patch
    generator = torch.Generator().manual_seed(0)
    target = F.normalize(torch.randn(height, width, args.dim, generator=generator), dim=-1)
    features = F.normalize(torch.randn(args.context, height, width, args.dim, generator=generator), dim=-1)
    labels = torch.rand(args.context, 3, height, width, generator=generator).softmax(1)
    mask = dense_mask(height, width, protocol.radius)
    methods = {
        "tiles": lambda: propagate_labels(target, features, labels, protocol),
        "dense": lambda: dense_propagation(target, features, labels, mask, protocol),
    }
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    results = {}
    for _ in range(args.repeats):
        for name, method in methods.items():
            start = time.perf_counter()
            results[name] = method()
            seconds[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    difference = (results["tiles"] - results["dense"]).abs().max().item()
    print(f"{height}x{width} tokens, {args.context} context frames, {torch.get_num_threads()} thread(s)")
    print(f"median of {args.repeats}: tiles {medians['tiles']:.3f} s, dense {medians['dense']:.3f} s a frame")
    print(f"dense / tiles = {medians['dense'] / medians['tiles']:.1f}; largest difference of a label {difference:.1e}")


if __name__ == "__main__":
    main()
