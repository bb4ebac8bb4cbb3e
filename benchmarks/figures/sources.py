"""What the figures are drawn from: square pictures, their label maps, and the tokens of every layer."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import functional as TF

from benchmarks.backbones.resnet import HouseResNet
from benchmarks.backbones.timm_network import TimmNetwork
from benchmarks.backbones.vit import HouseViT
from benchmarks.checkpoints.card import Card
from benchmarks.controls import token_labels
from benchmarks.errors import InputError
from benchmarks.files import require_file
from benchmarks.images import read_labels, read_rgb

File = str | os.PathLike[str]

#: Labels that are no segment: ADE20K's "unlabelled" and everybody's "void".
UNLABELLED = (0, 255)


@dataclass(frozen=True)
class Picture:
    """The central square of an image: RGB uint8 ``[S, S, 3]``, and its label map ``[S, S]`` where there is one."""

    name: str
    pixels: np.ndarray
    labels: np.ndarray | None
    scale: float
    offset: tuple[int, int]  # of the square in the resized image, (x, y)

    def locate(self, x: int, y: int) -> tuple[int, int]:
        """Where a pixel of the original image lies in the square; :class:`InputError` when it was cut off."""
        side = len(self.pixels)
        across, down = (int((v + 0.5) * self.scale - o) for v, o in zip((x, y), self.offset, strict=True))
        if not (0 <= across < side and 0 <= down < side):
            raise InputError(f"query {x},{y} is outside the central square of {self.name}: choose a pixel inside it")
        return across, down


def read_picture(path: str | os.PathLike[str], size: int, labels: str | os.PathLike[str] | None = None) -> Picture:
    """Read an image upright, resize its shorter side to ``size`` (bicubic; labels nearest), cut out the middle."""
    image = Image.fromarray(read_rgb(path))
    width, height = image.size
    scale = size / min(width, height)
    resized = max(size, round(width * scale)), max(size, round(height * scale))
    left, top = (resized[0] - size) // 2, (resized[1] - size) // 2
    square = (left, top, left + size, top + size)
    segments = None
    if labels is not None:
        mask = Image.fromarray(read_labels(labels))
        if mask.size != image.size:
            raise InputError(
                f"{labels} is {mask.width}x{mask.height}, its image {path} is {width}x{height}: their sizes must agree"
            )
        segments = np.asarray(mask.resize(resized, Image.Resampling.NEAREST).crop(square))
    pixels = np.array(image.resize(resized, Image.Resampling.BICUBIC).crop(square))
    return Picture(Path(path).stem, pixels, segments, scale, (left, top))


def read_names(path: str | os.PathLike[str]) -> dict[int, str]:
    """What labels are called: a line a label, its number first and its name last, as in ADE20K's objectInfo150.txt.

    Lines that do not begin with a number are headings. Columns are tabs'; of synonyms after commas the first counts.
    """
    names = {}
    for line in require_file(path, "list of label names").read_text(encoding="utf-8").splitlines():
        first, *_, last = line.split("\t") if "\t" in line else line.partition(" ")
        if first.strip().isdecimal() and last.strip():
            names[int(first)] = last.split(",")[0].strip()
    if not names:
        raise InputError(f"{path} names no label: give lines of a number and a name, such as objectInfo150.txt")
    return names


def pair(images: Sequence[File], labels: Sequence[File] | None) -> list[tuple[File, File | None]]:
    """Each image with its label map, in the order given; :class:`InputError` when their numbers differ."""
    if labels is not None and len(labels) != len(images):
        raise InputError(f"{len(images)} images and {len(labels)} label maps: give one label map for each image")
    masks: Sequence[File | None] = labels or [None] * len(images)
    return list(zip(images, masks, strict=True))


@dataclass(frozen=True)
class Layer:
    """The patch tokens of one layer: ``[h*w, D]``, row-major over the grid; no class or register tokens."""

    name: str
    tokens: torch.Tensor
    grid: tuple[int, int]


@torch.inference_mode()
def layers(network: HouseViT | HouseResNet | TimmNetwork, card: Card, pixels: np.ndarray) -> list[Layer]:
    """Every layer's tokens of one picture ``[S, S, 3]`` uint8.

    A ViT of L blocks gives L + 1 layers: 0 is the patch projection without positions, l the output of block l as it
    is in the residual stream, L the network's features, after its final norm where it has one. A ResNet gives its four
    stages, a network that timm's class runs its stages or blocks, raw. The paper says neither which side of the norm it
    means nor whether positions are in layer 0.
    """
    device = next(network.parameters()).device
    images = normalised(card, pixels).to(device)
    if isinstance(network, HouseResNet | TimmNetwork):
        maps = network.forward_intermediates(images, intermediates_only=True)
        return [Layer(f"stage {i}", m[0].flatten(1).T.cpu(), tuple(m.shape[2:])) for i, m in enumerate(maps, 1)]
    patches = network.patch_embed(images)[0]  # [h, w, D]
    grid = tuple(patches.shape[:2])
    depth = len(network.blocks)
    last, taken = network.forward_intermediates(images, indices=list(range(depth)), output_fmt="NLC")
    final = last[:, network.num_prefix_tokens :]
    tokens = [patches.flatten(0, 1), *(t[0] for t in taken[:-1]), final[0]]
    return [Layer(str(index), each.cpu(), grid) for index, each in enumerate(tokens)]


def normalised(card: Card, pixels: np.ndarray) -> torch.Tensor:
    """RGB uint8 ``[H, W, 3]`` -> ``[1, 3, H, W]`` as the checkpoint's card wants it."""
    patch = card.architecture.patch_size
    if pixels.shape[0] % patch or pixels.shape[1] % patch:
        raise InputError(
            f"{pixels.shape[1]}x{pixels.shape[0]} pixels are no multiple of the patch size {patch}: set --size"
        )
    return TF.normalize(TF.to_tensor(pixels), card.mean, card.std)[None]


def segments_of(labels: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """The most frequent label of each token: ``[S, S]`` -> int64 ``[h*w]``."""
    return token_labels(labels[None], labels.shape[0] // grid[0])[0]
