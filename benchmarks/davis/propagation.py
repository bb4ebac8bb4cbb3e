"""Video object segmentation without training: the first mask is carried on by the similarity of tokens.

Each token of a frame takes the labels of the tokens most similar to it, near it, in the first frame and the
last few: facebookresearch/dino, ``eval_video_segmentation.py``, and videowalk's variant of it (see ``protocol.py``).
The published program holds the similarities of all tokens to all tokens of every context frame; here they
are computed tile by tile, against the keys in reach only, with the same result.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import numpy as np
import torch

from benchmarks.davis.encoder import Encoder
from benchmarks.davis.frames import FirstMask, finish, winners
from benchmarks.davis.protocol import Protocol
from benchmarks.davis.threads import spread

#: MiB for the copies of keys, all threads together. Less is slower; below what one tile of each
#: thread needs (13 MiB for ViT-S, eight context frames, radius 12) it is not kept to.
SCRATCH = 256

#: Queries are taken in tiles of this many rows and columns of tokens. Small tiles compute fewer similarities that the
#: window then discards; large ones make fewer, better matrix products.
TILE = {"cpu": (8, 8), "cuda": (16, 16)}

#: Added to the similarity of a token out of reach; no cosine is that low.
FAR = -4.0


class Windows:
    """Which keys of a tile are out of a query's reach, kept for the tiles of one video.

    A video is one stream's work on a GPU, so nothing in here is ever used by another.
    """

    def __init__(self, protocol: Protocol, device: torch.device) -> None:
        self.protocol, self.device = protocol, device
        self._known: dict[tuple[tuple[int, int], ...], torch.Tensor] = {}

    def penalty(self, size: tuple[int, int], near: tuple[int, int], offset: tuple[int, int]) -> torch.Tensor:
        """:data:`FAR` where a key is out of a query's reach, else 0: fp32 ``[queries, keys]`` of one tile.

        The tile has ``size``, the keys around it ``near`` rows and columns, and it begins at ``offset`` within them.
        """
        key = (size, near, offset)
        if key not in self._known:
            self._known[key] = self._make(*key)
        return self._known[key]

    def _make(self, size: tuple[int, int], near: tuple[int, int], offset: tuple[int, int]) -> torch.Tensor:
        rows, columns = (
            (torch.arange(own, device=self.device)[:, None] + start - torch.arange(around, device=self.device)).abs()
            for own, around, start in zip(size, near, offset, strict=True)
        )
        rows, columns = rows[:, None, :, None], columns[None, :, None, :]
        radius = self.protocol.radius
        if self.protocol.window == "square":
            far = (rows > radius) | (columns > radius)
        else:
            closed = self.protocol.window == "closed disk"
            far = rows**2 + columns**2 >= radius**2 + closed
        if not radius:
            far = torch.zeros_like(far)
        return (far.flatten(2).flatten(0, 1) * FAR).float()


def _tiles(
    frames: Sequence[torch.Tensor], left: int, reach: int, tile: tuple[int, int], budget: int
) -> Iterator[tuple[slice, slice, slice, slice, torch.Tensor]]:
    """The tiles of the column that begins at ``left``: rows, columns, those in reach, and the keys there.

    Keys ``[n, keys, D]`` of several tiles are copied together, as much of the column as ``budget`` (bytes) allows.
    """
    height, width, dim = frames[0].shape
    columns = slice(left, min(left + tile[1], width))
    near_columns = slice(max(left - reach, 0), min(columns.stop + reach, width))
    line = len(frames) * (near_columns.stop - near_columns.start) * dim * frames[0].element_size()
    rows_at_once = max((budget // line - 2 * reach) // tile[0] * tile[0], tile[0])
    for start in range(0, height, rows_at_once):
        stop = min(start + rows_at_once, height)
        first, last = max(start - reach, 0), min(stop + reach, height)
        slab = torch.stack([frame[first:last, near_columns] for frame in frames])
        for top in range(start, stop, tile[0]):
            rows = slice(top, min(top + tile[0], stop))
            near_rows = slice(max(top - reach, 0), min(rows.stop + reach, height))
            keys = slab[:, near_rows.start - first : near_rows.stop - first].flatten(1, 2)
            yield rows, columns, near_rows, near_columns, keys


def propagate_labels(
    target: torch.Tensor,
    features: Sequence[torch.Tensor],
    labels: Sequence[torch.Tensor],
    protocol: Protocol,
    scratch: int = SCRATCH,
    windows: Windows | None = None,
) -> torch.Tensor:
    """Soft labels of one frame from those of its context frames.

    Args:
        target: ``[h, w, D]``, the frame's features, of length 1.
        features: one ``[h, w, D]`` for each of n context frames, the video's first frame first.
        labels: one ``[C, h, w]`` for each context frame.
        scratch: MiB to work in, see :data:`SCRATCH`.
        windows: what was kept of the video's earlier frames.

    Returns:
        ``[C, h, w]``: for each token the mean of its neighbours' labels weighted by exp(cosine / temperature),
        over the ``topk`` most similar tokens of all context frames together that are in reach; with
        ``keep_ties`` those that tie with the last of them count too.
    """
    height, width, _ = target.shape
    device = target.device
    windows = windows or Windows(protocol, device)
    reach = protocol.radius or max(height, width)
    tile = TILE.get(device.type, TILE["cuda"])
    table = torch.stack(tuple(labels)).permute(0, 2, 3, 1).flatten(0, 2)  # [n * h * w, C]
    places = torch.arange(len(table), device=device).view(-1, height, width)
    everywhere = None if protocol.window_on_first else features[0].flatten(0, 1)
    windowed = list(features if protocol.window_on_first else features[1:])
    places_windowed = places[len(places) - len(windowed) :]
    # Tokens that look alike in a still video tie once in each frame: that many more are looked at.
    candidates = protocol.topk + len(features)
    carried = target.new_empty(height, width, table.shape[1])
    unsettled = torch.zeros(height, width, dtype=torch.bool, device=device)
    lefts = range(0, width, tile[1])
    threads = min(torch.get_num_threads(), len(lefts)) if device.type == "cpu" else 1

    def similarities(left: int) -> Iterator[tuple[slice, slice, torch.Tensor, torch.Tensor]]:
        """Of each tile of a column: rows, columns, similarities ``[queries, keys]``, the keys' rows of the table."""
        if everywhere is not None and not windowed:  # the second frame, where nothing fills up its context
            columns = slice(left, min(left + tile[1], width))
            yield slice(0, height), columns, target[:, columns].flatten(0, 1) @ everywhere.T, places[0].flatten()
            return
        for rows, columns, near_rows, near_columns, keys in _tiles(
            windowed, left, reach, tile, (scratch << 20) // threads
        ):
            queries = target[rows, columns].flatten(0, 1)
            size = (rows.stop - rows.start, columns.stop - columns.start)
            around = (near_rows.stop - near_rows.start, near_columns.stop - near_columns.start)
            offset = (rows.start - near_rows.start, columns.start - near_columns.start)
            penalty = windows.penalty(size, around, offset)
            near = torch.bmm(queries.expand(len(keys), -1, -1), keys.transpose(1, 2)).transpose(0, 1)
            similarity = torch.add(near, penalty[:, None], out=queries.new_empty(near.shape)).flatten(1)
            where = places_windowed[:, near_rows, near_columns].flatten()
            if everywhere is not None:
                similarity = torch.cat([queries @ everywhere.T, similarity], dim=1)
                where = torch.cat([places[0].flatten(), where])
            yield rows, columns, similarity, where

    @torch.inference_mode()
    def fill(left: int) -> None:
        for rows, columns, similarity, where in similarities(left):
            mixed, ties = _mix(similarity, where, table, candidates, protocol)
            size = carried[rows, columns].shape[:2]
            carried[rows, columns] = mixed.unflatten(0, size)
            unsettled[rows, columns] = ties.unflatten(0, size)

    @torch.inference_mode()
    def settle(left: int) -> None:
        for rows, columns, similarity, where in similarities(left):
            chosen = unsettled[rows, columns]
            if chosen.any():
                part = carried[rows, columns]
                part[chosen] = _mix_all(similarity[chosen.flatten()], where, table, protocol)

    spread(fill, lefts, threads)
    # Asked once a frame: each question waits for the device.
    if protocol.keep_ties and unsettled.any():
        spread(settle, lefts, threads)
    return carried.permute(2, 0, 1).contiguous()


def _mix(
    similarity: torch.Tensor, where: torch.Tensor, table: torch.Tensor, candidates: int, protocol: Protocol
) -> tuple[torch.Tensor, torch.Tensor]:
    """Labels ``[queries, C]`` from similarities ``[queries, keys]``; row ``where[key]`` of ``table`` is a key's.

    Looks at the ``candidates`` most similar keys. Beside the labels: whether more may tie with them, ``[queries]``.
    """
    top, index = similarity.topk(min(candidates, similarity.shape[1]), dim=1)
    top = top.masked_fill(top < FAR / 2, -torch.inf)
    k = min(protocol.topk, top.shape[1])
    if not protocol.keep_ties:
        weights = (top[:, :k] / protocol.temperature).softmax(1)
        settled = torch.zeros(len(top), dtype=torch.bool, device=top.device)
        return torch.einsum("qk,qkc->qc", weights, table[where[index[:, :k]]]), settled
    weights, compared = _weights(top, protocol)
    weights.masked_fill_(compared < compared[:, k - 1 : k].clone(), 0)
    ties = (weights[:, -1] > 0) & (top.shape[1] < similarity.shape[1])
    return torch.einsum("qk,qkc->qc", weights / weights.sum(1, keepdim=True), table[where[index]]), ties


def _mix_all(similarity: torch.Tensor, where: torch.Tensor, table: torch.Tensor, protocol: Protocol) -> torch.Tensor:
    """As :func:`_mix` with all ties, from all keys."""
    similarity = similarity.masked_fill(similarity < FAR / 2, -torch.inf)
    weights, compared = _weights(similarity, protocol)
    weights.masked_fill_(compared < compared.topk(min(protocol.topk, compared.shape[1]), dim=1).values[:, -1:], 0)
    return (weights / weights.sum(1, keepdim=True)) @ table[where]


def _weights(similarity: torch.Tensor, protocol: Protocol) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights of similarities, not normalised, and what is compared for ties: in DINO's program the weights, after
    the exponential (rounding can make ties there), in DINOv3's the similarities."""
    weights = (similarity / protocol.temperature).exp_()
    return weights, similarity if protocol.ties_of == "similarities" else weights


def _batches(frames: Iterable[torch.Tensor], size: int) -> Iterator[torch.Tensor]:
    frames = iter(frames)
    while batch := list(islice(frames, size)):
        yield torch.stack(batch)


def propagate_video(
    encoder: Encoder,
    frames: Iterable[torch.Tensor],
    first_mask: FirstMask,
    size: tuple[int, int],
    protocol: Protocol,
    batch_size: int = 1,
    scratch: int = SCRATCH,
) -> Iterator[np.ndarray]:
    """Yield the label map uint8 ``[H, W]`` of every frame after the first, each when the next one is under way.

    Args:
        frames: what :func:`benchmarks.davis.frames.prepare_frame` gives for each frame, the first included,
            on the device to use.
        first_mask: the first mask on the encoder's grid, on that device.
        size: the video's own height and width.
        batch_size: frames to encode at once.
    """
    first = windows = last = None
    context: deque[tuple[torch.Tensor, torch.Tensor]] = deque(maxlen=protocol.n_last_frames)
    for batch in _batches(frames, batch_size):
        with torch.inference_mode():
            encoded = encoder(batch)
        for features in encoded:
            if first is None:
                first, windows = (features, first_mask.labels), Windows(protocol, features.device)
                context.extend([first] * (protocol.n_last_frames if protocol.padded_context else 0))
                continue
            with torch.inference_mode():
                # That these are pairs, zip's type cannot say.
                soft = propagate_labels(features, *zip(first, *context, strict=True), protocol, scratch, windows)  # type: ignore[arg-type,call-arg]
                # The soft labels go on, not the map: what was uncertain stays so.
                context.append((features, soft))
                found = winners(soft, encoder.patch_size, size, protocol)
                coming = _Coming(found)
            if last is not None:
                yield finish(last.tensor(), first_mask.indices, encoder.patch_size, size, protocol)
            last = coming
    if last is not None:
        yield finish(last.tensor(), first_mask.indices, encoder.patch_size, size, protocol)


class _Coming:
    """A tensor on its way to the host. It is asked for when the next frame is queued, so the GPU has work meanwhile."""

    def __init__(self, found: torch.Tensor) -> None:
        self.copy = found.to("cpu", non_blocking=True)
        self.there = torch.cuda.Event() if found.is_cuda else None
        if self.there is not None:
            self.there.record(torch.cuda.current_stream(found.device))

    def tensor(self) -> torch.Tensor:
        if self.there is not None:
            self.there.synchronize()
        return self.copy
