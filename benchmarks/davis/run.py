"""DAVIS 2017 from a checkpoint to J&F: propagate the first mask of every sequence, score the label maps."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import backbones
from benchmarks.davis.beside import Writer, read_ahead
from benchmarks.davis.dataset import Video, find_root, open_video, read_first_mask, read_frame, sequence_names
from benchmarks.davis.encoder import Encoder, backbone_encoder, in_bf16
from benchmarks.davis.frames import input_size, prepare_frame, prepare_mask
from benchmarks.davis.predictions import write_prediction
from benchmarks.davis.propagation import SCRATCH, propagate_video
from benchmarks.davis.protocol import DINO, Protocol
from benchmarks.davis.scoring import evaluate as score
from benchmarks.davis.threads import settle
from benchmarks.devices import say_device, usable_device
from benchmarks.errors import InputError
from benchmarks.progress import Progress

#: Frames encoded at once where the caller does not say. On a CPU more gain nothing, and one at a time is the
#: published program's arithmetic to the last bit; on a GPU single frames of a small ViT leave it idle.
BATCH = {"cpu": 1, "cuda": 8}


def label_maps(
    encoder: Encoder,
    video: Video,
    protocol: Protocol,
    device: str | torch.device = "cpu",
    batch_size: int = 1,
    scratch: int = SCRATCH,
    beside: bool | None = None,
) -> Iterator[np.ndarray]:
    """Yield a label map uint8 ``[H, W]`` for every frame of ``video``; the first is its first mask, untouched.

    ``beside``: frames are read in a thread of their own; None: where ``device`` is a GPU.
    """
    mask = read_first_mask(video)
    size = _input_size(encoder, mask, protocol)
    mean, std = encoder.normalisation(protocol)

    on_gpu = torch.device(device).type == "cuda"
    beside = on_gpu if beside is None else beside

    def prepared(path: Path) -> torch.Tensor:
        frame = read_frame(path)
        if frame.shape[:2] != mask.shape:
            raise InputError(
                f"{path} is {frame.shape[1]}x{frame.shape[0]}, but {video.masks[0]} is "
                f"{mask.shape[1]}x{mask.shape[0]}: all frames and masks of a sequence must have one size"
            )
        pixels = prepare_frame(frame, size, mean, std, protocol.resample)
        return pixels.pin_memory() if on_gpu else pixels

    def frames() -> Iterator[torch.Tensor]:
        for pixels in read_ahead(video.frames, prepared) if beside else map(prepared, video.frames):
            yield pixels.to(device, non_blocking=True)

    yield mask
    first_mask = prepare_mask(mask, encoder.grid(size), protocol, size).to(device)
    yield from propagate_video(encoder, frames(), first_mask, mask.shape, protocol, batch_size, scratch)


def _input_size(encoder: Encoder, mask: np.ndarray, protocol: Protocol) -> tuple[int, int]:
    return input_size(mask.shape[0], mask.shape[1], encoder.multiple or encoder.patch_size, protocol)


def propagate(
    encoder: Encoder,
    davis_root: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    sequences: Sequence[str] | None = None,
    frames: int | None = None,
    protocol: Protocol = DINO,
    device: str | torch.device = "cpu",
    progress: bool = True,
    batch_size: int | None = None,
    scratch: int = SCRATCH,
    at_once: int = 1,
    beside: bool | None = None,
) -> tuple[dict[str, list[np.ndarray]], dict[str, Any]]:
    """Label maps of every sequence by an encoder's features.

    Args:
        out: write them as ``out/<sequence>/<frame>.png`` and do not keep them.
        frames: stop after the first so many frames of each sequence.
        device: where the encoder takes its images.
        batch_size: frames to encode at once; see :data:`BATCH`.
        scratch: MiB to propagate in; see :data:`benchmarks.davis.propagation.SCRATCH`.
        at_once: sequences side by side, for a GPU that one alone does not fill.
        beside: frames are read and label maps written in threads of their own; None: on a GPU.

    Returns:
        The label maps by sequence (empty with ``out``), and facts about the run: ``protocol``, ``sequences``
        (frames of each), ``stride`` (pixels per token), ``layer``, ``precision``, ``inputs`` (sizes that the network
        saw, height and width), ``normalisation``, ``seconds``.
    """
    where = usable_device(str(device))
    beside = where.type == "cuda" if beside is None else beside
    batch_size = BATCH.get(where.type, BATCH["cuda"]) if batch_size is None else batch_size
    if frames is not None and frames < 2:
        raise InputError(f"{frames} frame(s) leave nothing to propagate to: ask for 2 or more")
    if min(batch_size, scratch, at_once) < 1:
        raise InputError(f"batch {batch_size}, {scratch} MiB, {at_once} sequences at once: each must be 1 or more")
    root = find_root(davis_root)
    videos = [open_video(root, name) for name in sequence_names(root, sequences)]
    videos = [Video(video.name, video.frames[:frames], video.masks) for video in videos]
    kept: dict[str, list[np.ndarray]] = {}
    say_device(device)
    inputs = {_input_size(encoder, read_first_mask(video), protocol) for video in videos}
    start = time.monotonic()
    with Progress(total=sum(len(video.frames) for video in videos), unit="frame", disable=not progress) as bar:

        def carry(video: Video) -> None:
            found = []
            maps = label_maps(encoder, video, protocol, where, batch_size, scratch, beside)
            with Writer(write_prediction) if beside else contextlib.nullcontext(write_prediction) as write:
                for path, labels in zip(video.frames, maps, strict=True):
                    if out is None:
                        found.append(labels)
                    else:
                        write(Path(out) / video.name / f"{path.stem}.png", labels)
                    bar.update()
            if out is None:
                kept[video.name] = found

        _for_each(carry, videos, where, at_once)
    mean, std = encoder.normalisation(protocol)
    facts = {
        "protocol": asdict(protocol),
        "sequences": {video.name: len(video.frames) for video in videos},
        "stride": encoder.patch_size,
        "layer": encoder.layer,
        "precision": encoder.precision,
        "inputs": sorted(inputs),
        "normalisation": {"mean": list(mean), "std": list(std)},
        "seconds": round(time.monotonic() - start, 3),
    }
    return kept, facts


def evaluate(
    encoder: Encoder, davis_root: str | os.PathLike[str], out: str | os.PathLike[str] | None = None, **options: Any
) -> dict[str, Any]:
    """Propagate and score; ``options`` are those of :func:`propagate`.

    Returns ``{"metrics": ..., "run": ...}``: what :func:`benchmarks.davis.scoring.evaluate` gives, and the facts of
    the run. With ``out`` the label maps are left there, else they never touch the disk.
    """
    kept, facts = propagate(encoder, davis_root, out, **options)
    maps = kept if out is None else out
    sequences, frames, progress = list(facts["sequences"]), options.get("frames"), options.get("progress", True)
    return {"metrics": score(davis_root, maps, sequences, frames, progress), "run": facts}


def checkpoint_encoder(
    checkpoint: str | os.PathLike[str],
    device: str | torch.device = "auto",
    layer: int | None = None,
    precision: str = "fp32",
) -> Encoder:
    """The encoder of a canonical checkpoint on ``device``; see :func:`benchmarks.davis.encoder.backbone_encoder`."""
    where = usable_device(str(device))
    module, card = backbones.load_backbone(checkpoint)
    encoder = backbone_encoder(module.to(where), card, layer)
    return encoder if precision == "fp32" else in_bf16(encoder, where)


def propagate_checkpoint(
    checkpoint: str | os.PathLike[str],
    *args: Any,
    device: str | torch.device = "auto",
    layer: int | None = None,
    precision: str = "fp32",
    **options: Any,
) -> tuple[dict[str, list[np.ndarray]], dict[str, Any]]:
    """As :func:`propagate`, for a canonical checkpoint."""
    return propagate(checkpoint_encoder(checkpoint, device, layer, precision), *args, **{**options, "device": device})


def evaluate_checkpoint(
    checkpoint: str | os.PathLike[str],
    *args: Any,
    device: str | torch.device = "auto",
    layer: int | None = None,
    precision: str = "fp32",
    **options: Any,
) -> dict[str, Any]:
    """As :func:`evaluate`, for a canonical checkpoint."""
    return evaluate(checkpoint_encoder(checkpoint, device, layer, precision), *args, device=device, **options)


def _for_each(work, videos: Sequence[Video], device: torch.device, at_once: int) -> None:
    """Call ``work`` on every video, ``at_once`` of them in threads, on a GPU each in a stream of its own."""
    if at_once == 1:
        for video in videos:
            work(video)
        return

    def in_stream(video: Video) -> None:
        if device.type != "cuda":
            return work(video)
        with torch.cuda.device(device), torch.cuda.stream(torch.cuda.Stream(device)):
            return work(video)

    with ThreadPoolExecutor(at_once, initializer=settle) as pool:
        running = [pool.submit(in_stream, video) for video in videos]
        try:
            for future in running:
                future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
