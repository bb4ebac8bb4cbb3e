"""From a checkpoint to a network whose weights are proven to be the file's."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from benchmarks.backbones.resnet import HouseResNet
from benchmarks.backbones.timm_network import TimmNetwork, timm_network
from benchmarks.backbones.vit import HouseViT
from benchmarks.checkpoints.canonical import is_canonical, read_canonical
from benchmarks.checkpoints.card import Card, ResNetArchitecture, TimmArchitecture
from benchmarks.checkpoints.checks import is_finite
from benchmarks.checkpoints.convert import check_heads, convert_in_memory
from benchmarks.checkpoints.sources import Source, locate
from benchmarks.errors import InputError


def load_backbone(
    source: Source,
    drop_path_rate: float = 0.0,
    heads: int | None = None,
    branch: str | None = None,
    architecture: str | None = None,
) -> tuple[HouseViT | HouseResNet | TimmNetwork, Card]:
    """Build the network that a checkpoint describes and load every tensor of it.

    A foreign file is converted in memory first, with the checks of :func:`benchmarks.checkpoints.convert.convert`;
    ``heads``, ``branch`` and ``architecture`` are for it; a name is looked up (:mod:`benchmarks.checkpoints.sources`).
    Returns the module in ``eval`` mode and the card. Raises :class:`InputError` when the file is not usable or when
    its tensors and its card disagree.
    """
    located = locate(source)
    path = located.path
    tensors: Mapping[str, torch.Tensor]
    if is_canonical(path):
        tensors, card = read_canonical(path)
        check_heads(path, card, heads)
        if branch is not None:
            raise InputError(f"{path} is a canonical checkpoint and has no branches: convert the source file again")
    else:
        tensors, card, _ = convert_in_memory(located, heads, branch, architecture)
    module = build(card, drop_path_rate)
    load_exactly(module, dict(tensors), where=str(path))
    return module.eval(), card


def build(card: Card, drop_path_rate: float = 0.0) -> HouseViT | HouseResNet | TimmNetwork:
    """The network of a card, freshly initialised. ``drop_path_rate``: of all but a ResNet, which has none."""
    if isinstance(card.architecture, TimmArchitecture):
        return timm_network(card.architecture, card.resize, drop_path_rate)
    if isinstance(card.architecture, ResNetArchitecture):
        return HouseResNet(card.architecture)
    return HouseViT(card.architecture, card.resize, drop_path_rate)


def load_exactly(module: nn.Module, tensors: Mapping[str, torch.Tensor], where: str) -> None:
    """Copy ``tensors`` into ``module``: every name once on both sides, every shape equal, or an error."""
    differences = weight_differences(module, tensors, values=False)
    if differences:
        raise InputError(f"{where}: tensors do not fit the network of the card: {'; '.join(differences[:3])}")
    for name, tensor in tensors.items():
        if tensor.numel() and tensor.is_floating_point() and not is_finite(tensor):
            raise InputError(f"{where}: {name} holds NaN or infinite values: convert the source file again")
    module.load_state_dict(tensors, strict=True)


def weight_differences(module: nn.Module, tensors: Mapping[str, torch.Tensor], values: bool = True) -> list[str]:
    """What keeps ``module`` from holding exactly ``tensors``; an empty list when nothing does.

    Compares names, shapes and (with ``values``) every element, after a cast to the module's dtype.
    """
    held = module.state_dict()
    found = [f"{name} is not in the file" for name in held.keys() - tensors.keys()]
    found += [f"{name} is not in the network" for name in tensors.keys() - held.keys()]
    for name in sorted(held.keys() & tensors.keys()):
        ours, theirs = held[name], tensors[name]
        if ours.shape != theirs.shape:
            found.append(f"{name} is {list(theirs.shape)} in the file and {list(ours.shape)} in the network")
        elif values and not torch.equal(ours.cpu(), theirs.to(ours.dtype).cpu()):
            found.append(f"{name} holds other values than the file")
    return sorted(found)
