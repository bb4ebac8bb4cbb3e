"""A linear layer on frozen features, trained by gradient descent as published, and its predictions by sliding windows.

Sources: see :mod:`benchmarks.segmentation.protocols`. The loss is the mean of the cross-entropy over *all* pixels of
the enlarged map, void ones with 0 (so a crop with much void counts less), as in mmseg and DINOv3; NeCo's is over what
is not void.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader

from benchmarks.core.model import Model
from benchmarks.files import atomic_path
from benchmarks.progress import Progress
from benchmarks.segmentation.augment import TrainingViews
from benchmarks.segmentation.dataset import Pair
from benchmarks.segmentation.faults import VOID
from benchmarks.segmentation.protocols import Linear

#: Steps between snapshots.
SNAPSHOT = 1000

#: Windows of one image that pass the network together.
WINDOWS = 8


class Head(nn.Module):
    """Dropout of channels, batch norm where the protocol has it, and a 1x1 convolution."""

    def __init__(self, width: int, classes: int, dropout: float, batch_norm: bool, plain: bool = False) -> None:
        super().__init__()
        self.dropout = nn.Dropout2d(dropout)
        self.norm = nn.BatchNorm2d(width) if batch_norm else nn.Identity()
        self.conv = nn.Conv2d(width, classes, 1)
        if not plain:  # NeCo keeps torch's own initialisation
            nn.init.normal_(self.conv.weight, std=0.01)
            nn.init.zeros_(self.conv.bias)  # type: ignore[arg-type]  # it has one

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Features ``[B, D, h, w]`` -> logits ``[B, C, h, w]``."""
        return self.conv(self.norm(self.dropout(features)))


def loss_of(logits: torch.Tensor, labels: torch.Tensor, protocol: Linear) -> torch.Tensor:
    """The training loss of logits ``[B, C, h, w]`` and labels int64 ``[B, H, W]``, of which the smaller is enlarged."""
    if logits.shape[2:] != labels.shape[1:]:
        logits = F.interpolate(logits, size=labels.shape[1:], mode="bilinear", align_corners=False)
    if protocol.mask_side:
        return F.cross_entropy(logits, labels, ignore_index=VOID)
    return F.cross_entropy(logits, labels, ignore_index=VOID, reduction="none").mean()


def rate_at(step: int, protocol: Linear) -> float:
    """The learning rate of step 0, 1, ...

    ``cosine`` is DINOv3's WarmupOneCycleLR: its scheduler is not stepped after the first update, so steps 0 and 1
    share a rate; it starts at the minimum, 0. ``poly`` is mmseg's, warm-up included.
    """
    top, total, warmup = protocol.learning_rate, protocol.iterations, protocol.warmup
    if protocol.schedule == "step":
        return top * (0.1 if step >= total * 4 // 5 else 1.0)
    if protocol.schedule == "poly":
        rate = top * (1 - step / total)
        return rate * (1 - (1 - step / warmup) * (1 - 1e-6)) if step < warmup else rate
    counted = max(step - 1, 0)
    if counted < warmup:
        return top * (1 - (1 - counted / warmup) * (1 - 1e-6)) * (1 - counted / total)
    return top / 2 * (1 + math.cos(math.pi * (counted + 1) / total))


def optimizer_of(head: nn.Module, protocol: Linear) -> torch.optim.Optimizer:
    """The protocol's optimiser of the head."""
    if protocol.optimizer == "SGD":
        return torch.optim.SGD(
            head.parameters(), lr=protocol.learning_rate, momentum=0.9, weight_decay=protocol.weight_decay
        )
    return torch.optim.AdamW(
        head.parameters(), lr=protocol.learning_rate, betas=(0.9, 0.999), weight_decay=protocol.weight_decay
    )


class Probe:
    """A frozen network and its linear head under a protocol."""

    def __init__(self, model: Model, classes: int, protocol: Linear, side: int, device: torch.device) -> None:
        self.model, self.protocol, self.side, self.device = model, protocol, side, device
        self.patch, self.classes = model.patch_size, classes
        with torch.inference_mode():
            width = self._raw(torch.zeros(1, 3, self.patch, self.patch, device=device)).shape[1]
        self.head = Head(width, classes, protocol.dropout, protocol.batch_norm, plain=bool(protocol.mask_side)).to(
            device
        )

    def _raw(self, pixels: torch.Tensor) -> torch.Tensor:
        layers = None if self.protocol.layers == (-1,) else self.protocol.layers
        maps = self.model.features(pixels, layers, self.protocol.norm)
        return torch.cat([one.float() for one in maps], dim=-1).permute(0, 3, 1, 2)

    def features(self, pixels: torch.Tensor) -> torch.Tensor:
        """Normalised images ``[B, 3, H, W]`` -> features ``[B, D, h, w]``, which training may go on from.

        Where the protocol pads, sides get zeros on both ends up to a multiple of the patch.
        """
        rests = [-side % self.patch for side in pixels.shape[2:]]
        if self.protocol.pad and any(rests):
            down, across = rests
            pixels = F.pad(pixels, (across // 2, across - across // 2, down // 2, down - down // 2))
        found = self._raw(pixels.to(self.device)).clone()
        if size := self.protocol.mask_side:
            found = F.interpolate(found, size=(size, size), mode="bilinear")
        return found

    def step(self, pixels: torch.Tensor, labels: torch.Tensor, optimizer: torch.optim.Optimizer) -> torch.Tensor:
        """One update of the head on a batch; its loss."""
        features = self.features(pixels)
        if size := self.protocol.mask_side:
            labels = F.interpolate(labels[:, None].float(), size=(size, size), mode="nearest")[:, 0].long()
        loss = loss_of(self.head(features), labels.to(self.device), self.protocol)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return loss.detach()

    def train(self, pairs: tuple[Pair, ...], folder: Path, seed: int, workers: int, progress: bool) -> dict[str, Any]:
        """Train the head, going on from the snapshot in ``folder``; facts of the run."""
        protocol, file = self.protocol, folder / "head.pt"
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.head.train()
            for part in self.head.modules():
                if isinstance(part, nn.BatchNorm2d | nn.Conv2d) and protocol.mask_side:
                    part.reset_parameters()
            if not protocol.mask_side:
                nn.init.normal_(self.head.conv.weight, std=0.01)
            optimizer, begin = optimizer_of(self.head, protocol), 0
            if file.is_file():
                kept = torch.load(file, map_location=self.device, weights_only=True)
                self.head.load_state_dict(kept["head"])
                optimizer.load_state_dict(kept["optimizer"])
                begin = int(kept["step"])
            views = TrainingViews(self.model, pairs, protocol, self.side, seed, begin * protocol.batch)
            loader = DataLoader(views, protocol.batch, num_workers=workers)
            losses = []
            bar = Progress(
                loader, "linear", protocol.iterations, initial=begin, unit="step", disable=not progress, leave=False
            )
            for step, (pixels, labels) in enumerate(bar, start=begin):
                # Dropout is a function of seed and step, so that a training that goes on drops the same channels.
                torch.manual_seed(seed * 1_000_003 + step + 1)
                for group in optimizer.param_groups:
                    group["lr"] = rate_at(step, protocol)
                losses.append(float(self.step(pixels, labels, optimizer)))
                if (step + 1) % SNAPSHOT == 0 or step + 1 == protocol.iterations:
                    with atomic_path(file) as temporary:
                        state = {"head": self.head.state_dict(), "optimizer": optimizer.state_dict(), "step": step + 1}
                        torch.save(state, temporary)
        self.head.eval()
        return {"last_loss": float(np.mean(losses[-20:])) if losses else None}

    @torch.inference_mode()
    def predict(self, image: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        """A normalised image ``[3, H, W]`` -> the largest class of each pixel of a map of ``size``: uint8."""
        logits = self.head(self.features(image[None])) if self.protocol.window == "whole" else self.slide(image)
        if logits.shape[2:] != size:
            logits = F.interpolate(logits, size=size, mode="bilinear", align_corners=False)
        return logits.argmax(1)[0].byte()

    def slide(self, image: torch.Tensor) -> torch.Tensor:
        """The mean logits ``[1, C, H, W]`` of windows of the protocol's side, two thirds of it apart."""
        height, width = image.shape[1:]
        side = self.side if self.side <= max(height, width) else min(height, width)
        total = torch.zeros(1, self.classes, height, width)
        times = torch.zeros(height, width)
        for windows in _in_groups(list(_windows((height, width), side, int(self.side * 2 / 3)))):
            pixels = torch.stack([image[:, rows, columns] for rows, columns in windows])
            logits = self.head(self.features(pixels))
            logits = F.interpolate(logits, size=pixels.shape[2:], mode="bilinear", align_corners=False).cpu()
            for (rows, columns), one in zip(windows, logits, strict=True):
                total[0, :, rows, columns] += one
                times[rows, columns] += 1
        return total / times


def _windows(size: tuple[int, int], side: int, stride: int) -> Iterator[tuple[slice, slice]]:
    """Windows that cover an image, the last of each line moved back to its edge."""
    starts = []
    for length in size:
        count = max(length - side + stride - 1, 0) // stride + 1
        starts.append([max(min(i * stride + side, length) - side, 0) for i in range(count)])
    for top in starts[0]:
        for left in starts[1]:
            yield slice(top, min(top + side, size[0])), slice(left, min(left + side, size[1]))


def _in_groups(windows: list[tuple[slice, slice]]) -> Iterator[list[tuple[slice, slice]]]:
    for start in range(0, len(windows), WINDOWS):
        yield windows[start : start + WINDOWS]
