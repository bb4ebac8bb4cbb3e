"""The two controls without which no benchmark can be believed.

Negative: the small ViT of the demo with random weights. Positive: the same ViT trained *with labels*
on the shapes world, one label a token. A benchmark that does not put the second above the first
measures nothing. ``tools/make_controls.py`` makes both; the positive one is kept in the repository.
"""

from __future__ import annotations

import math
import os
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from benchmarks import shapes
from benchmarks.backbones.positions import sincos_mae
from benchmarks.backbones.vit import HouseViT
from benchmarks.checkpoints.canonical import write_canonical
from benchmarks.checkpoints.card import DINO_RESIZE, IMAGENET_MEAN, IMAGENET_STD, Architecture, Card
from benchmarks.progress import Progress

#: The ViT of the demo, its FLSL pretraining and both controls: FLSL's layout (no class token, fixed
#: sine-cosine positions) at a size that two CPU cores train in minutes. 0.8 M parameters.
SMALL_VIT = Architecture(
    embed_dim=128,
    depth=4,
    num_heads=4,
    patch_size=8,
    image_size=96,
    position="sincos-mae",
)

#: The positive control's weights; remade by ``python tools/make_controls.py --seed 0``.
POSITIVE_CONTROL = Path(__file__).parent / "control_weights" / "supervised_shapes.safetensors"

#: FLSL of two passes over 9,469 photographs at 96 pixels: docs/what_flsl_learns.md has its command and what it scores.
FLSL_PHOTOS = POSITIVE_CONTROL.with_name("flsl_photos.safetensors")

#: FLSL of five passes over 3,000 pictures of the shapes world: docs/demo.md has its command and what it scores.
FLSL_SHAPES = POSITIVE_CONTROL.with_name("flsl_shapes.safetensors")

#: Scenes of this seed train the positive control; no benchmark draws its data from it.
TRAINING_WORLD = 1_000_003


def small_vit(seed: int, architecture: Architecture = SMALL_VIT) -> HouseViT:
    """A freshly initialised network; its weights are a function of ``seed`` alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = HouseViT(architecture, DINO_RESIZE)
    if architecture.position == "sincos-mae":
        module.pos_embed.data.copy_(sincos_mae(architecture.embed_dim, architecture.grid))
        module.pos_embed.requires_grad_(False)
    return module


def write_control(path: str | os.PathLike[str], module: HouseViT, method: str, seed: int) -> None:
    """Write ``module`` as a canonical checkpoint that says it is a control."""
    facts = ("num_heads", "eps", "resize", "mean", "std", "licence")
    card = Card(
        method=method,
        architecture=module.architecture,
        resize=module.resize,
        licence="Apache-2.0",
        provenance=dict.fromkeys(facts, "file"),
        notes=(f"control of the suite, seed {seed}",),
    )
    write_canonical(path, module.state_dict(), card)


def write_random_control(path: str | os.PathLike[str], seed: int, architecture: Architecture = SMALL_VIT) -> None:
    """Write the negative control: random weights, nothing learnt."""
    write_control(path, small_vit(seed, architecture), "random weights", seed)


def token_labels(semantic: np.ndarray, patch: int) -> np.ndarray:
    """The most frequent class of each patch: label maps uint8 ``[B, H, W]`` -> int64 ``[B, H*W / patch^2]``."""
    batch, height, width = semantic.shape
    cells = semantic.reshape(batch, height // patch, patch, width // patch, patch).transpose(0, 1, 3, 2, 4)
    cells = cells.reshape(-1, patch * patch)
    counts = np.zeros((len(cells), int(semantic.max()) + 1), np.int64)
    np.add.at(counts, (np.arange(len(cells))[:, None], cells), 1)
    return counts.argmax(1).reshape(batch, -1)


def render_training_set(pictures: int, progress: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Pictures of the training world: images uint8 ``[N, 224, 224, 3]``, label maps uint8 ``[N, 224, 224]``.

    Scenes of small objects and pictures of one large object in turn: the benchmarks show both.
    """
    images, maps = [], []
    for index in Progress(range(pictures), desc="rendering", unit="image", disable=not progress):
        if index % 2:
            scene = shapes.render_single(TRAINING_WORLD, index, index // 2 % len(shapes.OBJECT_CLASSES))
        else:
            scene = shapes.render_scene(TRAINING_WORLD, index)
        images.append(scene.image)
        maps.append(scene.semantic)
    return np.stack(images), np.stack(maps)


def train_positive_control(seed: int, steps: int, pictures: int, batch: int = 32, progress: bool = True) -> HouseViT:
    """Train the small ViT with labels: every token of a random crop says which object or ground it lies on.

    Cross-entropy through a linear layer that is thrown away, half of it over the tokens of objects: most
    tokens are ground, and ground is easy. Brightness and channels of the crops are disturbed.
    """
    images, maps = render_training_set(pictures, progress)
    rng = np.random.default_rng(seed)
    module = small_vit(seed).train()
    for block in module.blocks:
        # At 144 tokens the fused kernel's backward pass on a CPU takes longer than all else together.
        block.attn.fused_attn = False
    side, patch = SMALL_VIT.image_size, SMALL_VIT.patch_size
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = nn.Linear(SMALL_VIT.embed_dim, len(shapes.OBJECT_CLASSES) + len(shapes.STUFF_CLASSES))
    parameters = [p for p in (*module.parameters(), *head.parameters()) if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, total_steps=steps, pct_start=0.1)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    bar = Progress(range(steps), desc="positive control", unit="step", disable=not progress)
    for step in bar:
        pixels, labels = random_crops(images, maps, batch, side, rng)
        tensor = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255.0
        tensor = tensor * torch.from_numpy(rng.uniform(0.6, 1.4, (batch, 3, 1, 1))).float()
        logits = head(module.patch_tokens((tensor.clamp(0, 1) - mean) / std))  # fp32: bf16 crawls without its units
        targets = torch.from_numpy(token_labels(labels, patch)).flatten()
        losses = F.cross_entropy(logits.flatten(0, 1), targets, reduction="none")
        on_object = targets < len(shapes.OBJECT_CLASSES)
        halves = [losses[part].sum() / part.sum().clamp(min=1) for part in (on_object, ~on_object)]
        loss = (halves[0] + halves[1]) / 2
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 20 == 0:
            right = (logits.flatten(0, 1).argmax(1) == targets)[on_object].float().mean().item()
            bar.set_postfix(loss=f"{loss.item():.3f}", objects=f"{right:.2f}", refresh=False)
    return module.eval()


def random_crops(
    images: np.ndarray, maps: np.ndarray, batch: int, side: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Random square windows of 60 pixels to the whole picture, resized to ``side``, half of them mirrored.

    Returns pixels uint8 ``[B, side, side, 3]`` and labels uint8 ``[B, side, side]``.
    """
    pixels = np.empty((batch, side, side, 3), np.uint8)
    labels = np.empty((batch, side, side), np.uint8)
    whole = images.shape[1]
    for row, index in enumerate(rng.integers(len(images), size=batch)):
        extent = round(math.exp(rng.uniform(math.log(60), math.log(whole))))
        top, left = rng.integers(whole - extent + 1, size=2)
        window = np.s_[top : top + extent, left : left + extent]
        flip = slice(None, None, int(rng.choice((-1, 1))))
        smooth = cv2.INTER_AREA if extent > side else cv2.INTER_LINEAR
        pixels[row] = cv2.resize(images[index][window], (side, side), interpolation=smooth)[:, flip]
        labels[row] = cv2.resize(maps[index][window], (side, side), interpolation=cv2.INTER_NEAREST)[:, flip]
    return pixels, labels
