"""Segmentation's positive control on any data set: the demo's ViT trained with the labels of the training half.

    python tests/performance/segmentation_control.py DATA_ROOT --out supervised.safetensors [--steps 1500]

What the tasks of benchmarks/segmentation then score on the validation half must be above random weights by more than
the interval: docs/segmentation.md has the figures on CamVid. Crops of 96 pixels from images whose short side is 144,
as scale mini shows them, mirrored and of disturbed brightness; cross-entropy of every patch's most frequent label, rare
classes weighted up.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from tqdm import tqdm

from benchmarks.backbones.vit import HouseViT
from benchmarks.checkpoints.card import IMAGENET_MEAN, IMAGENET_STD
from benchmarks.controls import SMALL_VIT, small_vit, write_control
from benchmarks.segmentation import geometry, knn
from benchmarks.segmentation.dataset import SegmentationData, open_segmentation
from benchmarks.segmentation.faults import VOID
from benchmarks.segmentation.features import read

SHORT_SIDE, SIDE, PATCH = 144, SMALL_VIT.image_size, SMALL_VIT.patch_size


def shrunk(data: SegmentationData) -> list[tuple[np.ndarray, np.ndarray]]:
    """The training images and label maps at the short side, whole."""
    found = []
    for pair in tqdm(data.train, "images"):
        image, labels = read(pair)
        size = geometry.short_side(labels.shape, SHORT_SIDE)
        found.append((geometry.resize(image, size), geometry.resize_labels(labels, size)))
    return found


def crop(image: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A random square of both, mirrored half of the time."""
    top, left = (int(rng.integers(length - SIDE + 1)) for length in labels.shape)
    window = np.s_[top : top + SIDE, left : left + SIDE]
    step = int(rng.choice((-1, 1)))
    return image[window][:, ::step], labels[window][:, ::step]


def train(data: SegmentationData, seed: int, steps: int, batch: int) -> HouseViT:
    """The network after ``steps`` batches."""
    pictures, rng = shrunk(data), np.random.default_rng(seed)
    module = small_vit(seed).train()
    for block in module.blocks:
        block.attn.fused_attn = False  # at 144 tokens its backward pass on a CPU takes longer than all else together
    torch.manual_seed(seed)
    head = nn.Linear(SMALL_VIT.embed_dim, len(data.classes))
    frequency = torch.from_numpy(data.frequencies()).float()
    weight = torch.where(frequency > 0, frequency.clamp(min=1e-6) ** -0.5, 0.0)
    parameters = [p for p in (*module.parameters(), *head.parameters()) if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, total_steps=steps, pct_start=0.1)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    for step in (bar := tqdm(range(steps), "positive control")):
        chosen = [crop(*pictures[i], rng) for i in rng.integers(len(pictures), size=batch)]
        pixels = torch.from_numpy(np.stack([image for image, _ in chosen])).permute(0, 3, 1, 2).float() / 255
        pixels = (pixels * torch.from_numpy(rng.uniform(0.6, 1.4, (batch, 1, 1, 1))).float()).clamp(0, 1)
        cells = geometry.patches(torch.from_numpy(np.stack([labels for _, labels in chosen])), PATCH)
        targets = knn.modal(cells.flatten(0, 1)).long()
        logits = head(module.patch_tokens((pixels - mean) / std)).flatten(0, 1)
        loss = F.cross_entropy(logits, targets, weight, ignore_index=VOID)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 20 == 0:
            right = (logits.argmax(1) == targets)[targets != VOID].float().mean()
            bar.set_postfix(loss=f"{loss.item():.3f}", right=f"{right.item():.2f}")
    return module.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data_root")
    parser.add_argument("--out", required=True)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    a = parser.parse_args()
    data = open_segmentation(a.data_root, "mini")
    module = train(data, a.seed, a.steps, a.batch)
    write_control(a.out, module, f"labels of {data.name or data.root.name}/train", a.seed)


if __name__ == "__main__":
    main()
