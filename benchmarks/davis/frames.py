"""Between pixels and tokens: frames in, the first mask in, label maps out."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from benchmarks.davis.protocol import Protocol
from benchmarks.errors import InputError


@dataclass(frozen=True)
class FirstMask:
    """The first mask on the grid of tokens: fp32 ``labels [C, h, w]``, and the index that each channel stands for."""

    indices: np.ndarray  # uint8 [C], ascending
    labels: torch.Tensor

    def to(self, device: str | torch.device) -> FirstMask:
        """The same with its labels on ``device``."""
        return FirstMask(self.indices, self.labels.to(device))


def input_size(height: int, width: int, patch: int, protocol: Protocol) -> tuple[int, int]:
    """The ``(height, width)`` in pixels that a frame is resized to. The aspect is not exactly kept.

    Both sides are floored to multiples of ``patch`` at last; with the published sizes this changes nothing for
    patch 8 and 16. A square frame counts as landscape (DINO's script sizes its frame and its mask differently then).
    """
    short = dict(protocol.short_sides).get(patch, protocol.short_side)
    multiple = protocol.size_multiple or patch
    sides = protocol.fixed_size or (height, width)
    if short and not protocol.fixed_size:
        if not protocol.size_multiple:
            short = _rounded(short, multiple, "up")
        # Each program's own order of operations: rounding decides where the result is a multiple.
        long = max(sides) * short / min(sides) if protocol.long_side == "up" else short * max(sides) / min(sides)
        long = _rounded(long, multiple, protocol.long_side)
        sides = (long, short) if height > width else (short, long)
    sides = (sides[0] // patch * patch, sides[1] // patch * patch)
    if min(sides) < patch:
        raise InputError(
            f"a {width}x{height} frame comes out as {sides[1]}x{sides[0]} with short side {short}, "
            f"multiple {multiple} and patch {patch}: ask for a larger short side"
        )
    return sides


def _rounded(side: float, multiple: int, way: str) -> int:
    return int(math.ceil(side / multiple) * multiple if way == "up" else side // multiple * multiple)


def prepare_frame(
    frame: np.ndarray,
    size: tuple[int, int],
    mean: tuple[float, ...],
    std: tuple[float, ...],
    resample: str = "opencv",
) -> torch.Tensor:
    """A BGR frame uint8 ``[H, W, 3]`` -> normalised RGB fp32 ``[3, h, w]``, resized as ``resample`` says."""
    if resample == "pillow-bicubic":
        whole = Image.fromarray(np.ascontiguousarray(frame[:, :, ::-1]))
        rgb: np.ndarray = np.asarray(whole.resize(size[::-1], Image.Resampling.BICUBIC), np.float32) / 255.0
    elif resample == "opencv-float":
        rgb = cv2.resize(frame.astype(np.float32) / 255.0, size[::-1])[:, :, ::-1]
    else:
        rgb = cv2.resize(frame, size[::-1]).astype(np.float32)[:, :, ::-1] / 255.0
    image = torch.from_numpy(rgb.transpose(2, 0, 1).copy())
    return (image - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]


def prepare_mask(
    mask: np.ndarray, grid: tuple[int, int], protocol: Protocol, size: tuple[int, int] | None = None
) -> FirstMask:
    """The first mask, indices ``[H, W]``, reduced to ``grid`` (rows, columns) of tokens of an input of ``size``.

    As in the published scripts, an object with the highest index that is too small to survive the reduction is
    lost for the whole video, and void (255) is a label like any other.
    """
    mask = mask.astype(np.uint8)
    if protocol.first_mask == "bilinear":
        indices = np.unique(mask)
        if protocol.fixed_size and size is not None:  # SiamMAE's line resizes the mask with the frame
            mask = cv2.resize(mask, size[::-1], interpolation=cv2.INTER_NEAREST)
        layers = [cv2.resize((mask == index).astype(np.float32), grid[::-1]) for index in indices]
        return FirstMask(indices, torch.from_numpy(np.stack(layers)))
    if protocol.first_mask == "nearest":
        small = np.array(Image.fromarray(mask).resize(grid[::-1], Image.Resampling.NEAREST))
    else:
        small = F.interpolate(torch.from_numpy(mask)[None, None].float(), grid, mode="nearest-exact")[0, 0].numpy()
    # The scripts have a channel for every index up to the highest. One that is empty stays zero and only ever
    # ties with the background, which comes first and wins: leaving it out changes nothing.
    indices = np.union1d(small, [0]).astype(np.uint8)
    return FirstMask(indices, torch.from_numpy(np.stack([small == index for index in indices]).astype(np.float32)))


def harden(
    soft: torch.Tensor, indices: np.ndarray, stride: int, size: tuple[int, int], protocol: Protocol
) -> np.ndarray:
    """Soft labels ``[C, h, w]`` over tokens -> label map uint8 of ``size`` (height, width).

    DINO: bilinear to the network's input size, every channel stretched to [0, 1] (background too; empty ones stay
    empty), the largest wins, then nearest neighbour to the video's size. A channel that is constant and not
    empty becomes NaN, which wins: it covers the frame. CRW: bilinear to the video's size, the largest wins. SiamMAE:
    the same at the input's size. DINOv3: enlarged to the video's size and stretched; there a constant channel
    becomes 0.
    """
    return finish(winners(soft, stride, size, protocol).cpu(), indices, stride, size, protocol)


def winners(soft: torch.Tensor, stride: int, size: tuple[int, int], protocol: Protocol) -> torch.Tensor:
    """The part of :func:`harden` that is done where ``soft`` is; the host is not made to wait."""
    if not protocol.stretch:
        return soft
    if protocol.upsampling != "input":
        return _stretched_at(size, soft, protocol)
    soft = F.interpolate(
        soft[None], scale_factor=stride, mode="bilinear", align_corners=False, recompute_scale_factor=False
    )[0]
    stretched = soft - soft.amin((1, 2), keepdim=True)
    stretched /= stretched.amax((1, 2), keepdim=True)
    # Not argmax, which takes ten times as long on a CPU; the first of equals wins in both.
    return torch.where(soft.amax((1, 2), keepdim=True) > 0, stretched, soft).max(0).indices.to(torch.uint8)


def finish(
    found: torch.Tensor, indices: np.ndarray, stride: int, size: tuple[int, int], protocol: Protocol
) -> np.ndarray:
    """The rest of :func:`harden`, of what :func:`winners` gave, on the CPU."""
    if not protocol.stretch:
        grid = (found.shape[1] * stride, found.shape[2] * stride)
        where = size if protocol.upsampling == "bilinear" else grid
        enlarged = [cv2.resize(channel, where[::-1]) for channel in found.numpy()]
        labels = indices[np.argmax(enlarged, axis=0)]
        return labels if where == size else cv2.resize(labels, size[::-1], interpolation=cv2.INTER_NEAREST)
    labels = indices[found.numpy()]
    if protocol.upsampling != "input":
        return labels
    return np.array(Image.fromarray(labels).resize(size[::-1], Image.Resampling.NEAREST))


def _stretched_at(size: tuple[int, int], soft: torch.Tensor, protocol: Protocol) -> torch.Tensor:
    """DINOv3's winners at the video's size. By the nearest token they can be found first and enlarged then."""
    if protocol.upsampling == "bilinear":
        soft = F.interpolate(soft[None], size, mode="bilinear", align_corners=False)[0]
    least = soft.amin((1, 2), keepdim=True)
    stretched = torch.nan_to_num((soft - least) / (soft.amax((1, 2), keepdim=True) - least), nan=0)
    labels = stretched.max(0).indices.to(torch.uint8)
    return F.interpolate(labels[None, None], size, mode="nearest")[0, 0]
