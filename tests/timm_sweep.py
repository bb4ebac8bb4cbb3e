"""Every ViT of timm, small and with random weights, against what the suite makes of its file."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import timm
import torch
from safetensors.torch import save_file
from torch import nn

from benchmarks.backbones import load_backbone
from benchmarks.errors import InputError

VITS = ("vision_transformer", "eva", "beit", "deit", "naflexvit", "vision_transformer_relpos")
CELLS = 4  # tokens along a side


class Outcome(NamedTuple):
    """``verdict``: equal, refused or wrong; ``detail``: the kind of network, the refusal, or the difference."""

    name: str
    verdict: str
    detail: str


def names(modules: tuple[str, ...] = VITS) -> list[str]:
    return [name for module in modules for name in timm.list_models(module=module)]


def arguments(name: str) -> tuple[dict[str, Any], int, int]:
    """Constructor arguments that make an architecture small, its patch size and its heads."""
    small: dict[str, Any] = {"depth": 2}
    if "sapiens2" in name:
        small["num_kv_heads"] = [2, 2]  # the registered ones are a number for each of many blocks
    with torch.device("meta"):
        network = timm.create_model(name, num_classes=0, **small)
    heads = next(m.num_heads for m in network.blocks.modules() if hasattr(m, "num_heads"))
    embed = network.patch_embed if hasattr(network, "patch_embed") else network.embeds
    patch = embed.patch_size[0]
    width = 16 * heads * (2 if "Diff" in str(network.blocks[0]) else 1)
    return small | {"embed_dim": width, "img_size": patch * CELLS}, patch, heads


def randomised(network: nn.Module) -> nn.Module:
    """Values far from an initialisation, so that every tensor shows."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in network.parameters():
            fan_in = value[0].numel() if value.ndim > 1 and value.shape[0] > 1 else 0
            noise = torch.randn(value.shape, generator=generator)
            value.copy_(noise / fan_in**0.5 if fan_in else (value + 0.2 * noise))
    return network.eval()


def outcomes(folder: Path, chosen: list[str], alone: bool) -> Iterator[Outcome]:
    """What becomes of each architecture's file: a folder with config.json, or a lone file and the number of heads."""
    for name in chosen:
        small, patch, heads = arguments(name)
        network = randomised(timm.create_model(name, num_classes=3, **small))
        folder.mkdir(exist_ok=True)
        source = folder / "model.safetensors"
        save_file({key: value.contiguous().clone() for key, value in network.state_dict().items()}, source)
        config = {"architecture": name, "model_args": small, "pretrained_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3}}
        if not alone:
            (folder / "config.json").write_text(json.dumps(config))
        try:
            ours, card = load_backbone(source, heads=heads if alone else None)
        except InputError as error:
            yield Outcome(name, "refused", str(error))
            continue
        images = torch.randn(1, 3, patch * CELLS, patch * CELLS)
        with torch.inference_mode():
            theirs = network.forward_features(images)[:, network.num_prefix_tokens :]
            found = ours.patch_tokens(images)
        difference = float((found - theirs).norm() / theirs.norm()) if found.shape == theirs.shape else float("inf")
        yield Outcome(name, "equal" if difference < 1e-5 else "wrong", f"{card.architecture.kind} {difference:.1e}")


def counted(found: list[Outcome]) -> Counter[str]:
    return Counter(
        f"{one.verdict} ({one.detail.split()[0]})" if one.verdict == "equal" else one.verdict for one in found
    )
