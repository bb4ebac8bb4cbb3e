"""A checkpoint as a detector or segmenter takes it: patches made to fit, parts without use left alone, memory saved."""

from __future__ import annotations

import dataclasses
import os
from typing import Any, NamedTuple

import torch
from torch import nn

from benchmarks.backbones.patches import FITTING, PATCHES, fits, nearest_stride, resampled, with_patches
from benchmarks.checkpoints.canonical import read_canonical, read_card
from benchmarks.checkpoints.card import Card
from benchmarks.errors import InputError


class Prepared(NamedTuple):
    """What the network is built from and must hold: the file's, but for patches that were resampled."""

    tensors: dict[str, torch.Tensor]
    card: Card


def fitted(architecture: Any, patches: str, where: str) -> Any:
    """The architecture after :func:`prepare`: one of patch 14 has patches of 16 pixels under ``resample``."""
    if patches not in PATCHES:
        raise InputError(f"patches {patches!r}: choose one of {', '.join(PATCHES)}")
    if fits(architecture):
        return architecture
    stride = nearest_stride(architecture.patch_size)
    if stride not in FITTING:
        raise InputError(f"{where} has patches of {architecture.patch_size} pixels: too far from any stride")
    return architecture if patches == "pad" else with_patches(architecture, stride)


def prepare(source: str | os.PathLike[str], patches: str = "resample") -> Prepared:
    """A canonical checkpoint as :func:`fitted` has it."""
    tensors, own = read_canonical(source)
    card = _fitted_card(own, patches, source)
    return Prepared(dict(tensors) if card is own else resampled(tensors, card.architecture.patch_size), card)


def prepared_card(source: str | os.PathLike[str], patches: str = "resample") -> Card:
    """The card of :func:`prepare`, for which no tensor is read."""
    return _fitted_card(read_card(source), patches, source)


def _fitted_card(card: Card, patches: str, source: str | os.PathLike[str]) -> Card:
    architecture = fitted(card.architecture, patches, str(source))
    return card if architecture is card.architecture else dataclasses.replace(card, architecture=architecture)


def take_off(network: nn.Module, frozen: bool, prefix_used: bool = True) -> None:
    """What no gradient reaches does not train: the final norm, tokens that are left out, or all of ``network``."""
    unused = [getattr(network, name, None) for name in ("norm", "fc_norm", "head")]
    if not prefix_used:
        unused += [getattr(network, name, None) for name in ("cls_token", "reg_token")]
    for part in (network,) if frozen else unused:
        if part is not None:
            part.requires_grad_(False)


def recompute(network: Any) -> None:
    """Recompute activations in the backward pass instead of keeping them: the same numbers, for less memory."""
    if not hasattr(network, "set_grad_checkpointing"):
        # Batch norms would count each batch twice.
        raise InputError("activations of a network with batch norms are not recomputed here: leave --checkpointing out")
    network.set_grad_checkpointing(True)
