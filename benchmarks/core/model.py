"""A network to judge: its dense features, the one normalisation it takes, and what is known about it.

It comes from a checkpoint (a file, a folder, a name) or is somebody's own module or function, never a file at all.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from benchmarks import backbones
from benchmarks.checkpoints.canonical import read_canonical
from benchmarks.checkpoints.card import IMAGENET_MEAN, IMAGENET_STD, SIZE_RESIZE, Card, ModuleArchitecture
from benchmarks.checkpoints.convert import canonical
from benchmarks.core.attribution import Attribution
from benchmarks.errors import InputError
from benchmarks.files import sha256_of

#: What files of checkpoints end with.
SUFFIXES = (".safetensors", ".pth", ".pt", ".ckpt", ".bin", ".pkl", ".tar", ".npz", ".th")

#: Images ``[B, 3, H, W]`` -> patch features ``[B, h, w, D]`` or ``[B, h*w, D]``.
Features = Callable[[torch.Tensor], torch.Tensor]


class DenseFeatures(nn.Module):
    """Somebody's own network with the one method that the suite asks of a frozen one."""

    def __init__(self, features: Features, patch_size: int, name: str) -> None:
        super().__init__()
        self.features, self.patch_size, self.name = features, patch_size, name

    def patch_tokens(self, images: torch.Tensor) -> torch.Tensor:
        """Images ``[B, 3, H, W]`` -> patch tokens ``[B, h*w, D]``, row-major; :class:`InputError` for other shapes."""
        found = self.features(images)
        rows, columns = (side // self.patch_size for side in images.shape[2:])
        if isinstance(found, torch.Tensor) and found.ndim == 4 and found.shape[1:3] == (rows, columns):
            found = found.flatten(1, 2)
        if not isinstance(found, torch.Tensor) or found.ndim != 3 or found.shape[:2] != (len(images), rows * columns):
            shape = list(found.shape) if isinstance(found, torch.Tensor) else type(found).__name__
            raise InputError(
                f"{self.name} gives {shape} for images {list(images.shape)}: with patches of {self.patch_size} pixels "
                f"it must give [{len(images)}, {rows}, {columns}, D] or [{len(images)}, {rows * columns}, D]"
            )
        return found


@dataclass(eq=False)
class Model:
    """What is judged. ``sha256`` is the weights' identity; ``checkpoint`` the canonical file, None for a live one."""

    name: str
    card: Card
    sha256: str
    checkpoint: Path | None = None
    live: DenseFeatures | None = None
    attribution: Attribution = field(default_factory=Attribution)

    @cached_property
    def module(self) -> nn.Module:
        """The network in ``eval`` mode, its tensors proven to be the file's; ``patch_tokens`` gives its features."""
        return self.live if self.live is not None else backbones.load_backbone(cast(Path, self.checkpoint))[0]

    @property
    def patch_size(self) -> int:
        """Pixels along one side of a token."""
        return self.card.architecture.patch_size

    def weights(self, why: str) -> Path:
        """The canonical checkpoint; :class:`InputError` for a live network, which nothing can fine-tune."""
        if self.checkpoint is None:
            raise InputError(
                f"{self.name} is a network in memory, and {why} takes a checkpoint: save it and give the file"
            )
        return self.checkpoint

    def normalise(self, image: NDArray[np.uint8]) -> torch.Tensor:
        """An image uint8 ``[H, W, 3]`` -> fp32 ``[3, H, W]`` with the model's own mean and deviation."""
        pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1).float() / 255.0
        mean, std = (torch.tensor(v).view(3, 1, 1) for v in (self.card.mean, self.card.std))
        return (pixels - mean) / std

    @torch.inference_mode()
    def features(
        self, images: torch.Tensor, layers: Sequence[int] | None = None, norm: bool = True
    ) -> list[torch.Tensor]:
        """Normalised images fp32 ``[B, 3, H, W]`` -> for each of ``layers`` a map ``[B, h, w, D]``.

        ``layers`` are indices of blocks, negative ones from the end; None: the last. ``norm``: through the final norm.
        Sides must be multiples of the patch size.
        """
        size = [side // self.patch_size for side in images.shape[2:]]
        if layers is None and norm:
            return [self.module.patch_tokens(images).unflatten(1, size)]  # type: ignore[operator]
        if not hasattr(self.module, "forward_intermediates"):
            raise InputError(f"{self.name} has no layers to choose from: leave the layers out")
        indices = [-1] if layers is None else list(layers)
        depth = len(getattr(self.module, "blocks", ())) or self.card.architecture.depth  # type: ignore[union-attr]
        wanted = sorted({index % depth for index in indices})
        maps = self.module.forward_intermediates(  # type: ignore[operator]
            images, indices=wanted, norm=norm, output_fmt="NCHW", intermediates_only=True
        )
        by_index = dict(zip(wanted, maps, strict=True))
        return [by_index[index % depth].permute(0, 2, 3, 1) for index in indices]

    def to(self, device: torch.device | str) -> Model:
        """Move the network; returns itself."""
        self.module.to(device)
        return self


def name_of(source: str | os.PathLike[str]) -> str:
    """What a checkpoint is called where nobody named it: its file's or folder's name, or the last part of its address.

    A name becomes part of file names: letters, digits, dots, dashes and underscores.
    """
    last = re.split(r"[/:\\\\]", os.fspath(source).partition("#")[0].rstrip("/"))[-1]
    while (stem := Path(last)).suffix.lower() in SUFFIXES:
        last = stem.stem
    return re.sub(r"[^A-Za-z0-9._-]", "_", last) or "model"


def load_model(
    source: str | os.PathLike[str] | nn.Module | Features | Model,
    *,
    name: str | None = None,
    heads: int | None = None,
    patch_size: int | None = None,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    method: str | None = None,
    epochs: int | None = None,
    data: str | None = None,
) -> Model:
    """A model from a checkpoint, or from an ``nn.Module`` or function that gives dense features.

    Args:
        source: a file, a folder or a name that :func:`benchmarks.checkpoints.convert.canonical` takes; or images fp32
            ``[B, 3, H, W]`` -> ``[B, h, w, D]`` or ``[B, h*w, D]``, which needs ``patch_size`` (pixels per token).
        heads: attention heads, where a foreign checkpoint does not say.
        mean, std: what a live network's images are normalised with; a checkpoint's card says it itself.
        method, epochs, data: what it is held against in a paper's table, on your word.

    Raises :class:`InputError` for what cannot be used.
    """
    if isinstance(source, Model):
        return source
    said = Attribution.said(method, epochs, data)
    if isinstance(source, str | os.PathLike):
        for given, value in (("patch_size", patch_size), ("mean", mean), ("std", std)):
            if value not in (None, IMAGENET_MEAN, IMAGENET_STD):
                raise InputError(f"{source} is a checkpoint, whose card says its {given}: leave it out")
        path = canonical(source, heads=heads)
        card = read_canonical(path)[1]
        return Model(name or name_of(source), card, sha256_of(path), path, None, said or Attribution.of_card(card))
    if not callable(source):
        raise InputError(f"a model is a checkpoint, a module or a function, not {type(source).__name__}")
    if patch_size is None or heads is not None:
        raise InputError("a module or function needs patch_size (pixels per token), and takes no heads")
    own = name or str(getattr(source, "__name__", type(source).__name__))
    if isinstance(source, nn.Module):
        source.eval()
    live = DenseFeatures(source, patch_size, own)
    with torch.inference_mode():
        width = live.patch_tokens(torch.zeros(1, 3, 2 * patch_size, 2 * patch_size)).shape[2]
    architecture = ModuleArchitecture(embed_dim=width, patch_size=patch_size, name=type(source).__name__)
    card = Card("unknown", architecture, SIZE_RESIZE, _three("mean", mean), _three("std", std))
    return Model(own, card, _identity(source), None, live, said or Attribution())


def _three(what: str, values: Sequence[float]) -> tuple[float, float, float]:
    if len(values) != 3:
        raise InputError(f"{what} has {len(values)} values: one for each of red, green and blue")
    return (float(values[0]), float(values[1]), float(values[2]))


def _identity(source: Any) -> str:
    """The SHA-256 over a module's class and tensors. A bare function has no content to hash: every call is another."""
    digest = hashlib.sha256(f"{type(source).__module__}.{type(source).__qualname__}\n".encode())
    if not isinstance(source, nn.Module):
        digest.update(os.urandom(32))
        return digest.hexdigest()
    digest.update(repr(source).encode())
    for key, tensor in source.state_dict().items():
        plain = tensor.detach().cpu().contiguous()
        digest.update(f"{key} {plain.dtype} {tuple(plain.shape)}\n".encode())
        digest.update(plain.flatten().view(torch.uint8).numpy().tobytes() if plain.numel() else b"")
    return digest.hexdigest()
