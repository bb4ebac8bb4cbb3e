"""How fast are the detectors' backbones? House ViT against the published attention, windowed ViT against detectron2's.

Command: OMP_NUM_THREADS=2 python tests/performance/coco_backbones.py [--rounds 3]
Prints ratios of medians measured in turn in one run. The published attention stores all pairs; its figure is for
forward and backward of ViT-S/16 at 800 x 1216, with the peak of the process's memory of each. detectron2's is for the
forward pass of ViT-B/16 at 1024 x 1024, and is left out where detectron2 is missing.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import statistics
import time
from functools import partial

import torch
from timm.layers import set_fused_attn
from torch import nn

from benchmarks.backbones.vit import HouseViT
from benchmarks.backbones.windowed import WindowedViT, global_blocks
from benchmarks.checkpoints.card import SIZE_RESIZE, Architecture

SMALL = Architecture(384, 12, 6, 16, 224)
BASE = Architecture(768, 12, 12, 16, 224)


def training_step(fused: bool, rounds: int, queue: multiprocessing.Queue) -> None:
    """Seconds of a step (median), and the process's peak memory in GB, with fused or written-out attention."""
    set_fused_attn(fused)
    model = HouseViT(SMALL, SIZE_RESIZE).train()
    images, seconds = torch.randn(1, 3, 800, 1216), []
    for _ in range(rounds):
        start = time.perf_counter()
        maps = model.forward_intermediates(images, indices=[3, 5, 7, 11], norm=False, intermediates_only=True)
        sum(m.square().mean() for m in maps).backward()
        seconds.append(time.perf_counter() - start)
    queue.put((statistics.median(seconds), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20))


def alone(*arguments) -> tuple[float, float]:
    """:func:`training_step` in a process of its own, so that its peak memory is its own."""
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=training_step, args=(*arguments, queue))
    process.start()
    found = queue.get()
    process.join()
    return found


def against_detectron2(relative: bool, rounds: int) -> str:
    """Medians of both forward passes, measured in turn."""
    try:
        from detectron2.modeling import ViT
    except ImportError:
        return "detectron2 is not installed"
    ours = WindowedViT(BASE, SIZE_RESIZE, relative=64 if relative else None).eval()
    windows = [i for i in range(BASE.depth) if i not in global_blocks(BASE.depth)]
    theirs = ViT(
        img_size=1024, patch_size=16, embed_dim=768, depth=12, num_heads=12, window_size=14, use_rel_pos=relative,
        norm_layer=partial(nn.LayerNorm, eps=1e-6), window_block_indexes=windows, out_feature="last_feat",
    ).eval()  # fmt: skip
    images, seconds = torch.randn(1, 3, 1024, 1024), {"ours": [], "theirs": []}
    with torch.inference_mode():
        for _ in range(rounds):
            for name, model in (("ours", ours), ("theirs", theirs)):
                start = time.perf_counter()
                model(images)
                seconds[name].append(time.perf_counter() - start)
    ours, theirs = statistics.median(seconds["ours"]), statistics.median(seconds["theirs"])
    return f"{theirs:.2f} s / {ours:.2f} s = {theirs / ours:.2f} x"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    print(f"{torch.get_num_threads()} threads, medians of {rounds}")
    (ours, our_peak), (published, its_peak) = alone(True, rounds), alone(False, rounds)
    print(f"ViT-S/16, 800 x 1216, forward and backward: {published:.2f} s / {ours:.2f} s = {published / ours:.2f} x")
    print(f"  peak memory of the process: {our_peak:.2f} GB / {its_peak:.2f} GB = {our_peak / its_peak:.2f}")
    for relative in (False, True):
        what = "with" if relative else "without"
        print(f"ViTDet-B, 1024 x 1024, forward, {what} relative positions: {against_detectron2(relative, rounds)}")


if __name__ == "__main__":
    main()
