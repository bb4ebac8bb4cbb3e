"""How fast is one frame from pixels to label map, fp32 at 480x832, against the published way of working?

The published way: attention as softmax of a whole matrix of similarities, context features normalised again for
every frame, propagation by the dense formula of ``davis_propagation.py``. Both start from the same eight context
frames and the same random ViT-S. Prints the ratio of medians, and whether the label maps are equal.

    python tests/performance/davis_frame.py --patch 16 --repeats 3
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np
import torch
import torch.nn.functional as F
from davis_propagation import dense_propagation, reach_mask

from benchmarks.backbones.vit import HouseViT
from benchmarks.checkpoints.card import DINO_RESIZE, Architecture, Card
from benchmarks.davis.encoder import Encoder
from benchmarks.davis.frames import harden, prepare_frame
from benchmarks.davis.propagation import propagate_labels
from benchmarks.davis.protocol import DINO

SIZE = (480, 832)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patch", type=int, choices=(8, 16), default=16)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--cpu-time", action="store_true", help="instead of wall time, where others use the machine")
    args = parser.parse_args()
    clock = time.process_time if args.cpu_time else time.perf_counter

    torch.manual_seed(0)
    architecture = Architecture(384, 12, 6, args.patch, 224, class_token=True, position_prefix_rows=1)
    module = HouseViT(architecture, DINO_RESIZE).eval()
    encoder = Encoder(module, Card("random", architecture, DINO_RESIZE))
    pixels = np.random.default_rng(0).integers(0, 256, (9, 60, 104, 3), dtype=np.uint8)
    frames = [prepare_frame(picture, SIZE, DINO.mean, DINO.std) for picture in pixels]
    grid = encoder.grid(SIZE)
    mask = reach_mask(*grid, DINO.radius)
    labels = torch.rand(8, 3, *grid).softmax(1)
    indices = np.arange(3, dtype=np.uint8)

    def attention(fused: bool) -> None:
        for block in module.blocks:
            block.attn.fused_attn = fused

    with torch.inference_mode():
        raw = [module.patch_tokens(frame[None])[0] for frame in frames[:8]]
    context = [F.normalize(tokens, dim=1).unflatten(0, grid) for tokens in raw]

    def ours() -> np.ndarray:
        attention(fused=True)
        soft = propagate_labels(encoder(frames[8][None])[0], context, labels, DINO)
        return harden(soft, indices, args.patch, (480, 854), DINO)

    def published() -> np.ndarray:
        attention(fused=False)
        target = F.normalize(module.patch_tokens(frames[8][None])[0], dim=1).unflatten(0, grid)
        features = F.normalize(torch.stack(raw), dim=2).unflatten(1, grid)
        return harden(dense_propagation(target, features, labels, mask), indices, args.patch, (480, 854), DINO)

    seconds: dict[str, list[float]] = {"ours": [], "published": []}
    maps = {}
    with torch.inference_mode():
        for _ in range(args.repeats):
            for name, method in (("ours", ours), ("published", published)):
                start = clock()
                maps[name] = method()
                seconds[name].append(clock() - start)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    equal = (maps["ours"] == maps["published"]).mean()
    print(f"ViT-S/{args.patch}, fp32, {torch.get_num_threads()} thread(s), median of {args.repeats}")
    print(f"ours {medians['ours']:.2f} s, published way {medians['published']:.2f} s a frame")
    print(f"published / ours = {medians['published'] / medians['ours']:.1f}; {100 * equal:.3f}% of the pixels equal")


if __name__ == "__main__":
    main()
