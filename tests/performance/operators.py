"""How fast torchvision's NMS and RoIAlign stand in for mmcv's compiled ones: ratio of medians, in one run.

Needs a compiled mmcv (docs/setup.md); where there is none, torchvision's times alone. A ratio above 1 means that
torchvision is faster. The calls go the way a detector's do, through mmcv's own functions, and alternate.

    python tests/performance/operators.py --out operators.json
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import torch

from benchmarks.devices import explain, usable_device
from benchmarks.engines.mmcv_ops import TorchvisionOperators, compiled


def some_boxes(count: int, width: float, height: float, rng: torch.Generator) -> torch.Tensor:
    """Boxes ``[N, 4]`` of sides from 8 to 256 pixels."""
    size = 8 + torch.rand(count, 2, generator=rng) * 248
    corner = torch.rand(count, 2, generator=rng) * (torch.tensor([width, height]) - size)
    return torch.cat([corner, corner + size], 1)


def cases(device: torch.device):
    """Name -> a function of mmcv's compiled module or ours that returns tensors."""
    rng = torch.Generator().manual_seed(0)
    for count, threshold in ((2000, 0.7), (8000, 0.5)):
        boxes, scores = some_boxes(count, 1333, 800, rng).to(device), torch.rand(count, generator=rng).to(device)
        yield (
            f"nms, {count} boxes",
            lambda ops, b=boxes, s=scores, t=threshold: [ops.nms(b, s, iou_threshold=t, offset=0)],
        )
    nothing = torch.zeros(0, device=device)  # the places of maxima, which an average has not
    maps = torch.randn(2, 256, 100, 168, generator=rng).to(device)
    for count, side, samples in ((512, 7, 0), (128, 14, 0)):
        rois = torch.cat([torch.arange(count).remainder(2)[:, None].float(), some_boxes(count, 1333, 800, rng)], 1)
        rois = rois.to(device)
        settings = {"aligned_height": side, "aligned_width": side, "spatial_scale": 1 / 8, "sampling_ratio": samples}
        settings |= {"pool_mode": 1, "aligned": True}
        gradient = torch.randn(count, 256, side, side, generator=rng).to(device)

        def forward(ops, rois=rois, settings=settings, like=gradient):
            out = torch.zeros_like(like)
            ops.roi_align_forward(maps, rois, out, nothing, nothing, **settings)
            return [out]

        def backward(ops, rois=rois, settings=settings, gradient=gradient):
            out = torch.zeros_like(maps)
            ops.roi_align_backward(gradient, rois, nothing, nothing, out, **settings)
            return [out]

        yield f"RoIAlign {side}x{side} of {count} boxes, forward", forward
        yield f"RoIAlign {side}x{side} of {count} boxes, backward", backward


def seconds(call, device: torch.device) -> float:
    begun = time.perf_counter()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", help="write the figures there as JSON")
    args = parser.parse_args()
    device = usable_device(args.device)
    engines = {"torchvision": TorchvisionOperators(), "mmcv": compiled()}
    engines = {name: ops for name, ops in engines.items() if ops is not None}
    rows = []
    for name, call in cases(device):
        results = {engine: call(ops) for engine, ops in engines.items()}  # warm-up
        times = {engine: [] for engine in engines}
        for _ in range(args.rounds):
            for engine, ops in engines.items():
                times[engine].append(seconds(lambda ops=ops, call=call: call(ops), device))
        row = {"case": name} | {engine: statistics.median(found) for engine, found in times.items()}
        if "mmcv" in engines:
            row["ratio"] = row["mmcv"] / row["torchvision"]
            row["equal"] = all(map(torch.equal, results["mmcv"], results["torchvision"]))
        rows.append(row)
        print("  ".join(f"{key} {value:.4f}" if isinstance(value, float) else str(value) for key, value in row.items()))
    print(f"device: {explain(args.device)}, {torch.get_num_threads()} threads, median of {args.rounds}")
    if args.out:
        Path(args.out).write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
