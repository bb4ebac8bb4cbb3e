"""Between pixels and tokens: frames in, the first mask in, label maps out."""

from __future__ import annotations

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
    short, multiple = protocol.short_side, protocol.size_multiple
    sides = (height, width)
    if short:
        long = int(short * max(sides) / min(sides) // multiple * multiple)
        sides = (long, short) if height > width else (short, long)
    sides = tuple(side // patch * patch for side in sides)
    if min(sides) < patch:
        raise InputError(
            f"a {width}x{height} frame comes out as {sides[1]}x{sides[0]} with short side {short}, "
            f"multiple {multiple} and patch {patch}: ask for a larger short side"
        )
    return sides


def prepare_frame(
    frame: np.ndarray, size: tuple[int, int], mean: tuple[float, ...], std: tuple[float, ...]
) -> torch.Tensor:
    """A BGR frame uint8 ``[H, W, 3]`` -> normalised RGB fp32 ``[3, h, w]``, resized bilinearly by OpenCV."""
    rgb = cv2.resize(frame, size[::-1]).astype(np.float32)[:, :, ::-1] / 255.0
    image = torch.from_numpy(rgb.transpose(2, 0, 1).copy())
    return (image - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]


def prepare_mask(mask: np.ndarray, grid: tuple[int, int], protocol: Protocol) -> FirstMask:
    """The first mask, indices ``[H, W]``, reduced to ``grid`` (rows, columns) of tokens.

    As in the published script, an object with the highest index that is too small to survive the reduction is
    lost for the whole video, and void (255) is a label like any other.
    """
    if protocol.soft_mask:
        indices = np.unique(mask)
        layers = [cv2.resize((mask == index).astype(np.float32), grid[::-1]) for index in indices]
        return FirstMask(indices.astype(np.uint8), torch.from_numpy(np.stack(layers)))
    small = np.array(Image.fromarray(mask.astype(np.uint8)).resize(grid[::-1], Image.Resampling.NEAREST))
    # The script has a channel for every index up to the highest. One that is empty stays zero and only ever
    # ties with the background, which comes first and wins: leaving it out changes nothing.
    indices = np.union1d(small, [0]).astype(np.uint8)
    return FirstMask(indices, torch.from_numpy(np.stack([small == index for index in indices]).astype(np.float32)))


def harden(
    soft: torch.Tensor, indices: np.ndarray, stride: int, size: tuple[int, int], protocol: Protocol
) -> np.ndarray:
    """Soft labels ``[C, h, w]`` over tokens -> label map uint8 of ``size`` (height, width).

    DINO: bilinear to the network's input size, every channel stretched to [0, 1] (background too; empty ones stay
    empty), the largest wins, then nearest neighbour to the video's size. A channel that is constant and not
    empty becomes NaN, which wins: it covers the frame. CRW: bilinear to the video's size, the largest wins.
    """
    if not protocol.stretch:
        enlarged = [cv2.resize(channel, size[::-1]) for channel in soft.cpu().numpy()]
        return indices[np.argmax(enlarged, axis=0)]
    soft = F.interpolate(
        soft[None], scale_factor=stride, mode="bilinear", align_corners=False, recompute_scale_factor=False
    )[0]
    stretched = soft - soft.amin((1, 2), keepdim=True)
    stretched /= stretched.amax((1, 2), keepdim=True)
    # Not argmax, which takes ten times as long on a CPU; the first of equals wins in both.
    labels = torch.where(soft.amax((1, 2), keepdim=True) > 0, stretched, soft).max(0).indices
    image = Image.fromarray(indices[labels.cpu().numpy()])
    return np.array(image.resize(size[::-1], Image.Resampling.NEAREST))
