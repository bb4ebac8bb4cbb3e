"""How fast are the detectors' backbones? House ViT against the published attention, windowed ViT against detectron2's.

Prints ratios of medians, measured in turn in one run after one round that does not count. The published attention
stores all pairs; its figure is for forward and backward of ViT-S/16 at 800 x 1216, with the memory that each process
takes beyond its model: about 11 GB for the published one. detectron2's is for the forward pass of ViT-B/16 at
1024 x 1024, and is left out where detectron2 is missing.

    OMP_NUM_THREADS=2 python tests/performance/coco_backbones.py
    OMP_NUM_THREADS=2 python tests/performance/coco_backbones.py --only published --size 400 608 --rounds 1
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

from benchmarks.backbones.global_blocks import global_blocks
from benchmarks.backbones.vit import HouseViT
from benchmarks.backbones.windowed import WindowedViT
from benchmarks.checkpoints.card import SIZE_RESIZE, Architecture

SMALL = Architecture(384, 12, 6, 16, 224)
BASE = Architecture(768, 12, 12, 16, 224)
PARTS = ("published", "plain", "relative")


def training_steps(
    fused: bool, size: tuple[int, int], rounds: int, cpu_time: bool, answers: multiprocessing.Queue
) -> None:
    """Seconds of a step (median) and GB beyond the model, with fused or written-out attention."""
    clock = time.process_time if cpu_time else time.perf_counter
    set_fused_attn(fused)
    model = HouseViT(SMALL, SIZE_RESIZE).train()
    images, seconds, before = torch.randn(1, 3, *size), [], peak()
    for _ in range(1 + rounds):
        start = clock()
        maps = model.forward_intermediates(images, indices=[3, 5, 7, 11], norm=False, intermediates_only=True)
        sum(m.square().mean() for m in maps).backward()
        seconds.append(clock() - start)
    answers.put((statistics.median(seconds[1:]), peak() - before))


def peak() -> float:
    """The largest memory that this process has had, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def alone(*arguments) -> tuple[float, float]:
    """:func:`training_steps` in a process of its own, so that its peak memory is its own."""
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    process = context.Process(target=training_steps, args=(*arguments, answers))
    process.start()
    found = answers.get()
    process.join()
    return found


def against_detectron2(relative: bool, rounds: int, cpu_time: bool) -> str:
    """Medians of both forward passes, measured in turn."""
    try:
        from detectron2.modeling import ViT
    except ImportError:
        return "detectron2 is not installed"
    clock = time.process_time if cpu_time else time.perf_counter
    ours = WindowedViT(BASE, SIZE_RESIZE, relative=64 if relative else None).eval()
    windows = [i for i in range(BASE.depth) if i not in global_blocks(BASE.depth)]
    theirs = ViT(
        img_size=1024, patch_size=16, embed_dim=768, depth=12, num_heads=12, window_size=14, use_rel_pos=relative,
        norm_layer=partial(nn.LayerNorm, eps=1e-6), window_block_indexes=windows, out_feature="last_feat",
    ).eval()  # fmt: skip
    images, seconds = torch.randn(1, 3, 1024, 1024), {"ours": [], "theirs": []}
    with torch.inference_mode():
        for _ in range(1 + rounds):
            for name, model in (("ours", ours), ("theirs", theirs)):
                start = clock()
                model(images)
                seconds[name].append(clock() - start)
    ours, theirs = (statistics.median(seconds[name][1:]) for name in ("ours", "theirs"))
    return f"{theirs:.2f} s / {ours:.2f} s = {theirs / ours:.2f} x"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=PARTS, nargs="+", default=PARTS, help="default: all")
    parser.add_argument("--size", type=int, nargs=2, default=(800, 1216), help="of the published attention's images")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cpu-time", action="store_true", help="instead of wall time, where others use the machine")
    args = parser.parse_args()
    clock = "processor time" if args.cpu_time else "wall time"
    print(f"{torch.get_num_threads()} threads, {clock}, medians of {args.rounds}", flush=True)
    if "published" in args.only:
        size = tuple(args.size)
        (ours, our_peak), (published, its_peak) = (alone(f, size, args.rounds, args.cpu_time) for f in (True, False))
        print(f"ViT-S/16, {size[0]} x {size[1]}, forward and backward: ", end="")
        print(f"{published:.2f} s / {ours:.2f} s = {published / ours:.2f} x")
        print(f"  memory: {our_peak:.2f} GB / {its_peak:.2f} GB = {our_peak / its_peak:.2f}", flush=True)
    for part, relative in (("plain", False), ("relative", True)):
        if part in args.only:
            found = against_detectron2(relative, args.rounds, args.cpu_time)
            what = "with" if relative else "without"
            print(f"ViTDet-B, 1024 x 1024, forward, {what} relative positions: {found}", flush=True)


if __name__ == "__main__":
    main()
