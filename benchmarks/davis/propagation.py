"""Video object segmentation without training: the first mask is carried on by the similarity of tokens.

The protocol of facebookresearch/dino, ``eval_video_segmentation.py``, which FLSL uses unchanged. Each token of
a frame takes the labels of the tokens most similar to it, near it, in the first frame and the last few.
The published program holds the similarities of all tokens to all tokens of every context frame; here they
are computed tile by tile, against the keys in reach only, with the same result.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from benchmarks.davis.dataset import VOID
from benchmarks.errors import InputError

#: What the published script normalises frames with. Its first deviation is .228, not ImageNet's .229.
DAVIS_MEAN = (0.485, 0.456, 0.406)
DAVIS_STD = (0.228, 0.224, 0.225)

#: Queries are taken in squares of this many tokens a side. Small squares compute fewer similarities that the
#: window then discards; large ones make fewer, better matrix products. 16 was fastest or near it for patch 8 and 16.
TILE = 16


@dataclass(frozen=True)
class Protocol:
    """The constants of the evaluation; the defaults are the published ones.

    ``short_side`` is in pixels; the long side is floored to a multiple of ``size_multiple``, then both sides
    to multiples of the patch size (this changes nothing for patch 8 and 16). ``radius`` is in tokens, so the
    window is 25x25 (the paper's text says 12x12); 0 means no window. ``name`` is recorded with the scores.
    """

    name: str = "davis2017-480p"
    short_side: int = 480
    size_multiple: int = 64
    n_last_frames: int = 7
    radius: int = 12
    topk: int = 5
    temperature: float = 0.1

    def __post_init__(self) -> None:
        if min(self.short_side, self.size_multiple, self.topk) < 1 or min(self.n_last_frames, self.radius) < 0:
            raise InputError(f"{self}: sizes and topk must be 1 or more, n_last_frames and radius 0 or more")


def input_size(height: int, width: int, patch: int, protocol: Protocol) -> tuple[int, int]:
    """The ``(height, width)`` in pixels that a frame is resized to. The aspect is not exactly kept.

    A square frame counts as landscape (the published program sizes its frame and its mask differently then).
    """
    short, multiple = protocol.short_side, protocol.size_multiple
    long = int(short * max(height, width) / min(height, width) // multiple * multiple)
    sides = (long, short) if height > width else (short, long)
    sides = tuple(side // patch * patch for side in sides)
    if min(sides) < patch:
        raise InputError(
            f"a {width}x{height} frame comes out as {sides[1]}x{sides[0]} with short side {short}, "
            f"multiple {multiple} and patch {patch}: ask for a larger short side"
        )
    return sides


def prepare_frame(
    frame: np.ndarray,
    patch: int,
    protocol: Protocol,
    mean: tuple[float, ...] = DAVIS_MEAN,
    std: tuple[float, ...] = DAVIS_STD,
) -> torch.Tensor:
    """A BGR frame uint8 ``[H, W, 3]`` -> normalised RGB fp32 ``[3, h, w]``, resized bilinearly by OpenCV."""
    height, width = input_size(*frame.shape[:2], patch, protocol)
    rgb = cv2.resize(frame, (width, height)).astype(np.float32)[:, :, ::-1] / 255.0
    image = torch.from_numpy(rgb.transpose(2, 0, 1).copy())
    return (image - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]


def prepare_mask(mask: np.ndarray, patch: int, protocol: Protocol) -> torch.Tensor:
    """The first mask, indices ``[H, W]`` -> one-hot fp32 ``[C, h, w]`` over tokens (nearest neighbour).

    C is the highest index *after* the reduction, plus one: as in the published program, an object with the
    highest index that is too small to survive is lost for the whole video. Void is background, as in the scores.
    """
    height, width = input_size(*mask.shape, patch, protocol)
    labels = np.where(mask == VOID, 0, mask).astype(np.uint8)
    small = np.array(Image.fromarray(labels).resize((width // patch, height // patch), Image.Resampling.NEAREST))
    return F.one_hot(torch.from_numpy(small).long()).permute(2, 0, 1).float()


def _tile_bounds(side: int) -> Iterator[tuple[int, int]]:
    for start in range(0, side, TILE):
        yield start, min(start + TILE, side)


def propagate_labels(
    target: torch.Tensor, features: torch.Tensor, labels: torch.Tensor, protocol: Protocol
) -> torch.Tensor:
    """Soft labels of one frame from those of its context frames.

    Args:
        target: ``[h, w, D]``, the frame's features, L2-normalised.
        features: ``[n, h, w, D]``, the context's features, L2-normalised.
        labels: ``[n, C, h, w]``, the context's soft labels.

    Returns:
        ``[C, h, w]``: for each token the mean of its neighbours' labels weighted by exp(cosine / temperature),
        over the ``topk`` most similar tokens of all context frames together that lie within ``radius``
        rows and columns; tokens that tie with the last of them count too.
    """
    height, width, dim = target.shape
    radius = protocol.radius or max(height, width)
    rows, columns = (torch.arange(side, device=target.device) for side in (height, width))
    carried = labels.new_empty(labels.shape[1:])
    for top, bottom in _tile_bounds(height):
        near_rows = slice(max(top - radius, 0), bottom + radius)
        far_in_rows = (rows[top:bottom, None] - rows[near_rows]).abs() > radius
        for left, right in _tile_bounds(width):
            near_columns = slice(max(left - radius, 0), right + radius)
            far_in_columns = (columns[left:right, None] - columns[near_columns]).abs() > radius
            far = (far_in_rows[:, None, :, None] | far_in_columns[None, :, None, :]).flatten(2).flatten(0, 1)
            queries = target[top:bottom, left:right].reshape(-1, dim)
            keys = features[:, near_rows, near_columns].reshape(-1, dim)
            near_labels = labels[:, :, near_rows, near_columns].transpose(0, 1).flatten(1)
            weights = (queries @ keys.T).div_(protocol.temperature).exp_()
            weights.view(len(queries), len(features), -1).masked_fill_(far[:, None], 0)
            # Chosen after the exponential, as the published program does: rounding can make ties there.
            last = weights.topk(min(protocol.topk, len(keys)), dim=1).values[:, -1:]
            weights.masked_fill_(weights < last, 0)
            weights /= weights.sum(1, keepdim=True)
            carried[:, top:bottom, left:right] = (near_labels @ weights.T).unflatten(1, (bottom - top, right - left))
    return carried


def harden(soft: torch.Tensor, patch: int, size: tuple[int, int]) -> np.ndarray:
    """Soft labels ``[C, h, w]`` over tokens -> label map uint8 of ``size`` (height, width).

    Bilinear to the network's input size, every channel stretched to [0, 1] (background too; empty ones stay
    empty), the largest wins, then nearest neighbour to the original size. A channel that is constant and not
    empty becomes NaN, which wins: it covers the frame.
    """
    soft = F.interpolate(
        soft[None], scale_factor=patch, mode="bilinear", align_corners=False, recompute_scale_factor=False
    )[0]
    stretched = soft - soft.amin((1, 2), keepdim=True)
    stretched = stretched / stretched.amax((1, 2), keepdim=True)
    labels = torch.where(soft.amax((1, 2), keepdim=True) > 0, stretched, soft).argmax(0)
    image = Image.fromarray(labels.cpu().numpy().astype(np.uint8))
    return np.array(image.resize((size[1], size[0]), Image.Resampling.NEAREST))


@torch.inference_mode()
def propagate_video(
    tokens: Callable[[torch.Tensor], torch.Tensor],
    frames: Iterable[torch.Tensor],
    first_mask: torch.Tensor,
    size: tuple[int, int],
    patch: int,
    protocol: Protocol,
) -> Iterator[np.ndarray]:
    """Yield the label map uint8 ``[H, W]`` of every frame after the first.

    Args:
        tokens: images ``[1, 3, h, w]`` -> patch tokens ``[1, N, D]``, for instance ``HouseViT.patch_tokens``.
        frames: what :func:`prepare_frame` gives for each frame, the first included, on the device to use.
        first_mask: what :func:`prepare_mask` gives for the first frame, on that device.
        size: the original height and width.
    """
    grid = first_mask.shape[1:]
    first = None
    context: deque[tuple[torch.Tensor, torch.Tensor]] = deque(maxlen=protocol.n_last_frames)
    for frame in frames:
        features = F.normalize(tokens(frame[None])[0], dim=1).reshape(*grid, -1)
        if first is None:
            first = (features, first_mask)
            continue
        used = [first, *context]
        soft = propagate_labels(features, *(torch.stack(part) for part in zip(*used, strict=True)), protocol)
        # The soft labels go on, not the map: what was uncertain stays so.
        context.append((features, soft))
        yield harden(soft, patch, size)
