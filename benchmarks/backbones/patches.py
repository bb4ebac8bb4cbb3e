"""Patches of another size: what detectors do with a ViT whose patch (14) fits no stride of a pyramid.

``resample`` gives the network patches of 16 pixels: the kernel of its patch embedding is multiplied by the
pseudo-inverse of the resize, so that an image enlarged by 16/14 has the tokens that the image itself had. Source:
FlexiViT (arXiv 2212.08013), as PE does for detection (arXiv 2504.13181, B.3.3). ``pad`` leaves the network as it is,
pads images to whole patches and resamples its maps (:class:`PaddedPatches`).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F

from benchmarks.checkpoints.card import Architecture, TimmArchitecture

#: What can become of patches that fit no stride.
PATCHES = ("resample", "pad")
KERNEL = "patch_embed.proj.weight"
#: Sides of patches that fit a pyramid as they are.
FITTING = (4, 8, 16, 32)

Network = Architecture | TimmArchitecture


def fits(architecture: object) -> bool:
    """Whether the patches (or stages) of a network need nothing to be done."""
    if isinstance(architecture, Architecture) or (
        isinstance(architecture, TimmArchitecture) and not architecture.hierarchical
    ):
        return architecture.patch_size in FITTING
    return True


def nearest_stride(patch: int) -> int:
    """The power of two nearest to a patch's side."""
    return int(2 ** round(math.log2(patch)))


def with_patches(architecture: Network, patch: int) -> Network:
    """The same network with patches of ``patch`` pixels; its own grid of positions stays what it was."""
    old = architecture.patch_size
    if isinstance(architecture, Architecture):
        return dataclasses.replace(architecture, patch_size=patch, image_size=architecture.grid * patch)
    from benchmarks.checkpoints.timm_networks import describe

    a = architecture
    size = [side // old * patch for side in a.image_size]
    arguments = a.arguments | {"patch_size": patch, "img_size": size}
    return describe(a.name, arguments, a.eps, a.norm_tokens)[0]


def resampled(tensors: Mapping[str, torch.Tensor], patch: int) -> dict[str, torch.Tensor]:
    """Tensors of a ViT whose kernel ``[D, 3, p, p]`` has become ``[D, 3, patch, patch]``."""
    from timm.layers import resample_patch_embed

    kernel = tensors[KERNEL]
    return {**tensors, KERNEL: resample_patch_embed(kernel.float(), [patch, patch]).to(kernel.dtype)}


def on_padded(
    run: Callable[[torch.Tensor], list[torch.Tensor]], images: torch.Tensor, patch: int
) -> list[torch.Tensor]:
    """Maps of a ViT of any ``patch`` for images of any size, resampled to the stride :func:`nearest_stride`.

    Images ``[B, 3, H, W]`` are padded with zeros on the right and below to whole patches. Cell ``(y, x)`` of a map
    that comes back is the feature at pixel ``(s*(y+1/2), s*(x+1/2))``, s the stride; there are ``H/s`` x ``W/s``,
    rounded up.
    """
    stride, (height, width) = nearest_stride(patch), images.shape[-2:]
    # So many pixels that the resampled map reaches over the whole image.
    rows, columns = (-(-math.ceil(side / stride) * stride // patch) for side in (height, width))
    padded = F.pad(images, (0, columns * patch - width, 0, rows * patch - height))
    maps = run(padded)
    if stride == patch:
        return maps
    size = (math.ceil(height / stride), math.ceil(width / stride))
    scaled = [
        F.interpolate(m, scale_factor=patch / stride, mode="bilinear", recompute_scale_factor=False) for m in maps
    ]
    return [m[:, :, : size[0], : size[1]] for m in scaled]
