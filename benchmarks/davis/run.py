"""DAVIS 2017 from a checkpoint to J&F: propagate the first mask of every sequence, score the label maps."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from benchmarks.backbones import load_backbone
from benchmarks.checkpoints.card import IMAGENET_MEAN, IMAGENET_STD, Card
from benchmarks.davis.dataset import Video, find_root, open_video, read_frame, read_mask, sequence_names
from benchmarks.davis.predictions import write_prediction
from benchmarks.davis.propagation import (
    DAVIS_MEAN,
    DAVIS_STD,
    Protocol,
    prepare_frame,
    prepare_mask,
    propagate_video,
)
from benchmarks.davis.scoring import evaluate
from benchmarks.devices import usable_device
from benchmarks.errors import InputError


def normalisation(card: Card) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation for frames: the published script's, unless the checkpoint was trained with others.

    The script normalises every network alike. Weights that never saw ImageNet's normalisation would
    be judged on inputs they do not know, so they get the one on their card.
    """
    if (card.mean, card.std) == (IMAGENET_MEAN, IMAGENET_STD):
        return DAVIS_MEAN, DAVIS_STD
    return card.mean, card.std


def label_maps(
    tokens: Callable[[torch.Tensor], torch.Tensor],
    card: Card,
    video: Video,
    protocol: Protocol,
    device: str | torch.device = "cpu",
) -> Iterator[np.ndarray]:
    """Yield a label map uint8 ``[H, W]`` for every frame of ``video``; the first is its first mask, untouched."""
    mask = read_mask(video.masks[0])
    patch = card.architecture.patch_size
    mean, std = normalisation(card)

    def frames() -> Iterator[torch.Tensor]:
        for path in video.frames:
            frame = read_frame(path)
            if frame.shape[:2] != mask.shape:
                raise InputError(f"{path} is {frame.shape[1]}x{frame.shape[0]}, its first mask another size")
            yield prepare_frame(frame, patch, protocol, mean, std).to(device)

    yield mask
    first_mask = prepare_mask(mask, patch, protocol).to(device)
    yield from propagate_video(tokens, frames(), first_mask, mask.shape, patch, protocol)


def propagate_checkpoint(
    checkpoint: str | os.PathLike[str],
    davis_root: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    sequences: Sequence[str] | None = None,
    frames: int | None = None,
    protocol: Protocol | None = None,
    device: str = "cpu",
    progress: bool = True,
) -> tuple[dict[str, list[np.ndarray]], dict[str, Any]]:
    """Label maps of every sequence for a canonical checkpoint.

    With ``out`` they are written as ``out/<sequence>/<frame>.png`` and not kept. ``frames`` stops after the first
    so many frames of each sequence.

    Returns:
        The label maps by sequence (empty with ``out``), and facts about the run: ``protocol``, ``sequences``
        (frames of each), ``patch_size``, ``normalisation``, ``seconds``.
    """
    protocol = protocol or Protocol()
    if frames is not None and frames < 2:
        raise InputError(f"{frames} frame(s) leave nothing to propagate to: ask for 2 or more")
    where = usable_device(device)
    root = find_root(davis_root)
    videos = [open_video(root, name) for name in sequence_names(root, sequences)]
    videos = [Video(video.name, video.frames[:frames], video.masks) for video in videos]
    module, card = load_backbone(checkpoint)
    module.to(where)
    kept: dict[str, list[np.ndarray]] = {}
    start = time.monotonic()
    with tqdm(total=sum(len(video.frames) for video in videos), unit="frame", disable=not progress) as bar:
        for video in videos:
            bar.set_description(video.name)
            for path, labels in zip(
                video.frames, label_maps(module.patch_tokens, card, video, protocol, where), strict=True
            ):
                if out is None:
                    kept.setdefault(video.name, []).append(labels)
                else:
                    write_prediction(Path(out) / video.name / f"{path.stem}.png", labels)
                bar.update()
    mean, std = normalisation(card)
    facts = {
        "protocol": asdict(protocol),
        "sequences": {video.name: len(video.frames) for video in videos},
        "patch_size": card.architecture.patch_size,
        "normalisation": {"mean": list(mean), "std": list(std)},
        "seconds": round(time.monotonic() - start, 3),
    }
    return kept, facts


def evaluate_checkpoint(
    checkpoint: str | os.PathLike[str],
    davis_root: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    sequences: Sequence[str] | None = None,
    frames: int | None = None,
    protocol: Protocol | None = None,
    device: str = "cpu",
    progress: bool = True,
) -> dict[str, Any]:
    """Propagate and score; arguments as :func:`propagate_checkpoint`.

    Returns ``{"metrics": ..., "run": ...}``: what :func:`benchmarks.davis.scoring.evaluate` gives, and the facts of
    the run. With ``out`` the label maps are left there.
    """
    kept, facts = propagate_checkpoint(checkpoint, davis_root, out, sequences, frames, protocol, device, progress)
    metrics = evaluate(davis_root, kept if out is None else out, list(facts["sequences"]), frames, progress)
    return {"metrics": metrics, "run": facts}
