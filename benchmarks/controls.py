"""The two controls without which no benchmark can be believed.

Negative: the small ViT of the demo with random weights. Positive: the same ViT trained *with labels*
on the shapes world. A benchmark that does not put the second above the first measures nothing.
"""

from __future__ import annotations

import os

import torch

from benchmarks.backbones.positions import sincos_mae
from benchmarks.backbones.vit import HouseViT
from benchmarks.checkpoints.canonical import write_canonical
from benchmarks.checkpoints.card import DINO_RESIZE, Architecture, Card

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
