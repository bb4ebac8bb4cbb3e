"""What an experiment takes over from the checkpoint and the command line, in no engine's spelling."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from benchmarks.backbones.patches import nearest_stride
from benchmarks.checkpoints.card import Architecture, Card, ResNetArchitecture
from benchmarks.errors import InputError


@dataclass(frozen=True)
class Adaptation:
    """Settings of a backbone and of its learning rates. None: what the config says."""

    #: What becomes of patches that fit no stride (:mod:`benchmarks.backbones.patches`).
    patches: str = "resample"
    #: Recompute activations in the backward pass: the same numbers for less memory and about a third more time.
    checkpointing: bool = False
    #: Of ViTDet: tokens along a window, whether class token and registers come along, layer decay.
    window: int | None = None
    prefix_tokens: bool | None = None
    drop_path: float | None = None
    layer_decay: float | None = None
    all_decay: bool | None = None
    #: Whether the last block of every quarter sees the whole map (ViTDet), or none does (PE's frozen probe).
    global_attention: bool | None = None

    def as_record(self) -> dict[str, Any]:
        """Plain data for a record: what was decided."""
        return {name: value for name, value in dataclasses.asdict(self).items() if value is not None}

    def deciding(self) -> dict[str, Any]:
        """What decides a number: all but how memory is saved."""
        return {name: value for name, value in self.as_record().items() if name != "checkpointing"}


def has_stages(architecture: Any) -> bool:
    """Whether a network has maps of strides 4, 8, 16 and 32 of its own: a ResNet, ConvNeXt or Swin."""
    return isinstance(architecture, ResNetArchitecture) or getattr(architecture, "hierarchical", False)


def widths_of(architecture: Any) -> list[int]:
    """Channels of the four maps of a backbone: of its stages, or of a ViT's taps."""
    return list(architecture.widths) if has_stages(architecture) else [architecture.embed_dim] * 4


def require_any_size(architecture: Any, frozen: bool, where: str) -> None:
    """:class:`InputError` for a network that cannot be trained on images of more than one size."""
    if getattr(architecture, "fixed_size", False) and not frozen:
        raise InputError(f"{where}: the tables of {architecture.name} belong to one image size: frozen tasks take it")


def keeps_prefix(architecture: Architecture, asked: bool | None) -> bool:
    """Whether class token and registers come along through ViTDet.

    ViTDet leaves the class token out. A network that was trained with registers keeps its large values in them, and
    would have to find other places for these: there they stay, and the class token with them.
    """
    if asked and not (architecture.class_token or architecture.registers):
        raise InputError("--prefix-tokens true: this checkpoint has neither class token nor registers")
    return architecture.registers > 0 if asked is None else asked


def vitdet_options(
    card: Card,
    image_size: int,
    relative_positions: bool,
    drop_path_rate: float,
    window: int,
    prefix_tokens: bool | None,
    where: str,
    global_attention: bool = True,
) -> dict[str, Any]:
    """The arguments of ViTDet's network of a card, for square images of ``image_size`` pixels."""
    a = card.architecture
    if not isinstance(a, Architecture):
        raise InputError(f"{where} is a {a.kind}, but ViTDet's windows are for a ViT of the house")
    stride = nearest_stride(a.patch_size)
    if image_size % stride:
        raise InputError(f"images of {image_size} pixels are no whole number of steps of {stride}: {where}")
    return {
        "architecture": a,
        "resize": card.resize,
        "drop_path_rate": drop_path_rate,
        "window": window,
        "whole": None if global_attention else (),
        "relative": -(-image_size // a.patch_size) if relative_positions else None,
        "prefix": keeps_prefix(a, prefix_tokens),
    }
