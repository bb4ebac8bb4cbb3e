"""How fast is one frame from pixels to label map, fp32 at 480x832, against the published way of working?

The published way, rebuilt from its equations: attention as the softmax of a whole matrix of similarities, context
features normalised again for every frame, propagation by the dense formula of ``davis_propagation.py``, labels
stretched channel by channel. Every frame is taken both ways, one after the other, from the same eight context
frames (one that was encoded, shifted) with the same random ViT-S. Prints the median of the frames' ratios, and
whether the label maps are equal. With ``--patch 8`` a frame takes the published way half a minute on a core.

    python tests/performance/davis_frame.py --patch 16 --frames 7
    python tests/performance/davis_frame.py --patch 8 --frames 3
"""

from __future__ import annotations

import argparse
import statistics
import time
from types import MethodType

import numpy as np
import torch
import torch.nn.functional as F
from davis_propagation import dense_propagation, reach_mask
from PIL import Image
from torch import nn

from benchmarks.backbones.vit import HouseViT
from benchmarks.checkpoints.card import DINO_RESIZE, Architecture, Card
from benchmarks.davis.encoder import backbone_encoder
from benchmarks.davis.frames import harden, prepare_frame
from benchmarks.davis.propagation import propagate_labels
from benchmarks.davis.protocol import DINO

SIZE, VIDEO, CONTEXT, LABELS = (480, 832), (480, 854), 8, 3


def whole_matrix_attention(attention: nn.Module, x: torch.Tensor, *_, **__) -> torch.Tensor:
    """Self-attention ``[B, N, D]`` as the equation reads, every head's similarities of all tokens in memory."""
    shape = (*x.shape[:2], 3, attention.num_heads, -1)
    queries, keys, values = attention.qkv(x).reshape(shape).permute(2, 0, 3, 1, 4)
    weights = ((queries @ keys.transpose(-2, -1)) * attention.scale).softmax(dim=-1)
    return attention.proj((weights @ values).transpose(1, 2).flatten(2))


def stretched_maximum(soft: torch.Tensor, stride: int) -> np.ndarray:
    """Label map of soft labels ``[C, h, w]``, each channel stretched on its own."""
    soft = F.interpolate(
        soft[None], scale_factor=stride, mode="bilinear", align_corners=False, recompute_scale_factor=False
    )[0]
    for channel in soft:
        if channel.max() > 0:
            channel -= channel.min()
            channel /= channel.max()
    labels = torch.max(soft, dim=0).indices.numpy().astype(np.uint8)
    return np.array(Image.fromarray(labels).resize(VIDEO[::-1], Image.Resampling.NEAREST))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patch", type=int, choices=(8, 16), default=16)
    parser.add_argument("--frames", type=int, default=3, help="frames to take both ways")
    parser.add_argument("--cpu-time", action="store_true", help="instead of wall time, where others use the machine")
    args = parser.parse_args()
    clock = time.process_time if args.cpu_time else time.perf_counter

    torch.manual_seed(0)
    architecture = Architecture(384, 12, 6, args.patch, 224, class_token=True, position_prefix_rows=1)
    module, plain = (HouseViT(architecture, DINO_RESIZE).eval() for _ in range(2))
    plain.load_state_dict(module.state_dict())
    for block in plain.blocks:
        block.attn.forward = MethodType(whole_matrix_attention, block.attn)
    encoder = backbone_encoder(module, Card("random", architecture, DINO_RESIZE))
    pixels = np.random.default_rng(0).integers(0, 256, (args.frames, 60, 104, 3), dtype=np.uint8)
    frames = [prepare_frame(picture, SIZE, DINO.mean, DINO.std) for picture in pixels]
    grid = encoder.grid(SIZE)
    mask = reach_mask(*grid, DINO.radius)
    labels = torch.rand(CONTEXT, LABELS, *grid).softmax(1)
    with torch.inference_mode():
        tokens = module.patch_tokens(frames[0][None])[0].unflatten(0, grid)
        raw = torch.stack([tokens.roll((shift, 2 * shift), (0, 1)) for shift in range(CONTEXT)])
        context = list(F.normalize(raw, dim=3))

    def ours(frame: torch.Tensor) -> np.ndarray:
        soft = propagate_labels(encoder(frame[None])[0], context, labels, DINO)
        return harden(soft, np.arange(LABELS, dtype=np.uint8), args.patch, VIDEO, DINO)

    def published(frame: torch.Tensor) -> np.ndarray:
        target = F.normalize(plain.patch_tokens(frame[None])[0].unflatten(0, grid), dim=2)
        soft = dense_propagation(target, F.normalize(raw, dim=3), labels, mask)
        return stretched_maximum(soft, args.patch)

    seconds: dict[str, list[float]] = {"ours": [], "published": []}
    equal = []
    with torch.inference_mode():
        for frame in frames:
            maps = {}
            for name, method in (("ours", ours), ("published", published)):
                start = clock()
                maps[name] = method(frame)
                seconds[name].append(clock() - start)
            equal.append((maps["ours"] == maps["published"]).mean())
    ratios = [theirs / own for own, theirs in zip(*seconds.values(), strict=True)]
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    print(f"ViT-S/{args.patch}, fp32, {torch.get_num_threads()} thread(s), {args.frames} frames both ways")
    print(f"ours {medians['ours']:.2f} s, published way {medians['published']:.2f} s a frame (medians)")
    print(
        f"published / ours = {statistics.median(ratios):.2f} (median of {min(ratios):.2f} to {max(ratios):.2f})", end=""
    )
    print(f"; {100 * min(equal):.3f}% of the pixels equal")


if __name__ == "__main__":
    main()
