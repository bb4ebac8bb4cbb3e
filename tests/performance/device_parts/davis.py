"""DAVIS: a frame's computation beside the published way, in turns, and whole videos side by side."""

from __future__ import annotations

import time
from collections.abc import Iterator
from types import MethodType

import numpy as np
import torch
import torch.nn.functional as F
from davis_frame import whole_matrix_attention
from davis_propagation import dense_propagation, reach_mask

from benchmarks import shapes
from benchmarks.backbones import load_backbone
from benchmarks.backbones.vit import HouseViT
from benchmarks.checkpoints.card import DINO_RESIZE, Architecture, Card
from benchmarks.controls import write_random_control
from benchmarks.davis.encoder import backbone_encoder, in_bf16
from benchmarks.davis.propagation import propagate_labels
from benchmarks.davis.protocol import DINO, Protocol
from benchmarks.davis.run import propagate
from device_parts.book import Row, Size
from device_parts.turns import device, in_turns, ratio

CONTEXT, LABELS = 8, 3


def _architecture(patch: int, tiny: bool) -> Architecture:
    sizes = (32, 2, 2) if tiny else (384, 12, 6)
    return Architecture(*sizes, patch, 224, class_token=True, position_prefix_rows=1)


def frames(size: Size) -> Iterator[Row]:
    """From a frame on the device to its soft labels, fp32: the ratio is the published way's time over ours."""
    where = device()
    height, width = (96, 160) if size.tiny else (480, 832)
    for patch in (16, 8):
        torch.manual_seed(0)
        architecture = _architecture(patch, size.tiny)
        module, plain = (HouseViT(architecture, DINO_RESIZE).eval().to(where) for _ in range(2))
        plain.load_state_dict(module.state_dict())
        for block in plain.blocks:
            block.attn.forward = MethodType(whole_matrix_attention, block.attn)
        encoder = backbone_encoder(module, Card("random", architecture, DINO_RESIZE))
        frame = torch.randn(1, 3, height, width, device=where)
        grid = encoder.grid((height, width))
        mask = reach_mask(*grid, DINO.radius).to(where)
        labels = torch.rand(CONTEXT, LABELS, *grid, device=where).softmax(1)
        with torch.inference_mode():
            tokens = module.patch_tokens(frame)[0].unflatten(0, grid)
            raw = torch.stack([tokens.roll((shift, 2 * shift), (0, 1)) for shift in range(CONTEXT)])
            context = list(F.normalize(raw, dim=3))

            def ours(encoder=encoder, frame=frame, context=context, labels=labels) -> torch.Tensor:
                return propagate_labels(encoder(frame)[0], context, labels, DINO)

            def published(plain=plain, frame=frame, raw=raw, labels=labels, grid=grid, mask=mask) -> torch.Tensor:
                target = F.normalize(plain.patch_tokens(frame)[0].unflatten(0, grid), dim=2)
                return dense_propagation(target, F.normalize(raw, dim=3), labels, mask)

            difference = (ours() - published()).abs().max().item()
            repeats = 2 if size.tiny else 7
            medians = in_turns({"ours": ours, "published": published}, repeats, where)
        yield {
            "model": f"{'tiny' if size.tiny else 'S'}/{patch}",
            "height_px": height,
            "width_px": width,
            "repeats_count": repeats,
            "published_over_ours_ratio": ratio(medians["published"], medians["ours"]),
            "ours_frame_ms": medians["ours"],
            "published_frame_ms": medians["published"],
            "largest_difference_of_a_label_fraction": difference,
        }


def videos(size: Size) -> Iterator[Row]:
    """Whole sequences from JPEG to PNG, so many at once and in two precisions, each setting once after a warm-up."""
    where = device()
    count, length, height, width = (2, 3, 96, 160) if size.tiny else (8, 12, 480, 854)
    protocol = Protocol(name="tiny", short_side=96) if size.tiny else DINO
    root = shapes.write_davis(size.folder, 0, count, length, height, width)
    for patch in (16, 8):
        checkpoint = size.folder / f"{patch}.safetensors"
        write_random_control(checkpoint, 0, _architecture(patch, size.tiny))
        module, card = load_backbone(checkpoint)
        encoder = backbone_encoder(module.to(where), card)
        maps = {}
        for precision, at_once in (("fp32", 1), ("fp32", 4), ("bf16", 1), ("bf16", 4)):
            used = encoder if precision == "fp32" else in_bf16(encoder, where)
            options = {"protocol": protocol, "device": str(where), "at_once": at_once, "progress": False}
            propagate(used, root, None, frames=2, **options)
            start = time.perf_counter()
            propagate(used, root, size.folder / "out", **options)
            seconds = time.perf_counter() - start
            if at_once == 1:
                maps[precision], _ = propagate(used, root, None, frames=min(length, 4), **options)
            yield {
                "model": f"{'tiny' if size.tiny else 'S'}/{patch}",
                "precision": precision,
                "at_once_count": at_once,
                "videos_count": count,
                "frames_count": count * length,
                "frames_per_s": round(count * length / seconds, 3),
                "pixels_as_in_fp32_percent": round(100 * _equal(maps["fp32"], maps[precision]), 4),
            }


def _equal(one: dict[str, list[np.ndarray]], other: dict[str, list[np.ndarray]]) -> float:
    """Share of the pixels after the first frame that have the same label."""
    pairs = [pair for name in one for pair in list(zip(one[name], other[name], strict=True))[1:]]
    return float(np.mean([np.mean(a == b) for a, b in pairs]))
