"""Label propagation on DAVIS 2017 as tasks: one for each published protocol. No seed takes part."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import shapes
from benchmarks.core import bootstrap
from benchmarks.core.data import Fingerprint, fingerprint
from benchmarks.core.model import Model
from benchmarks.core.settings import option
from benchmarks.core.task import Launch, Outcome, Place, Plan, Task
from benchmarks.data_check.davis import TOTALS, VAL_FRAMES
from benchmarks.davis.dataset import FEWEST_MASKS, Video, find_root, open_video, read_mask, sequence_names
from benchmarks.davis.encoder import backbone_encoder
from benchmarks.davis.pictures import draw_sequence
from benchmarks.davis.protocol import CRW, DINO, DINOV3_L, DINOV3_M, DINOV3_S, MINI, SIAMMAE, Protocol
from benchmarks.davis.run import evaluate
from benchmarks.davis.scoring import require_enough
from benchmarks.devices import usable_device
from benchmarks.errors import InputError, say

#: Sequences to draw of each checkpoint.
PICTURES = 2

#: Where a protocol has one size for all videos: height and width at scale mini.
MINI_SIZE = (192, 352)


@dataclass(frozen=True)
class Settings:
    """A published protocol, and how much of each sequence."""

    protocol: Protocol
    frames: int | None = option(None, "stop after the first so many frames of each sequence")


@dataclass(frozen=True)
class Videos:
    """The validation sequences under one root."""

    root: Path
    videos: tuple[Video, ...]

    @property
    def names(self) -> list[str]:
        """Their names, in the list's order."""
        return [video.name for video in self.videos]


class Davis(Task[Settings, Videos]):
    """Table 4's benchmark under one protocol."""

    benchmark = "davis"
    seeded = False
    data = "DAVIS 2017, davis/"
    cost = "minutes on a GPU: 1,999 frames through a frozen network"
    mini_minutes = 0.1
    columns = (("J&F", "J&F-Mean", 100.0), ("J", "J-Mean", 100.0), ("F", "F-Mean", 100.0))

    def __init__(self, name: str, protocol: Protocol, title: str) -> None:
        self.name, self.protocol, self.title = name, protocol, title

    def settings(self, scale: str) -> Settings:
        """The protocol itself, or at 192 pixels."""
        if scale == "paper":
            return Settings(self.protocol)
        if self.protocol is DINO:
            return Settings(MINI)
        small: dict[str, Any] = {"name": f"{self.protocol.name} (mini)", "short_sides": ()}
        if self.protocol.fixed_size:
            small["fixed_size"] = MINI_SIZE
        elif self.protocol.short_side:
            small["short_side"] = MINI.short_side
        return Settings(replace(self.protocol, **small))

    def open(self, data_root: Path, scale: str, settings: Settings) -> Videos:
        """The whole validation set for ``paper``; for ``mini`` what is there, or the shapes world, written there."""
        return open_videos(data_root, scale)

    def fingerprint(self, data: Videos) -> Fingerprint:
        """Of the masks' content and the frames."""
        masks = [mask for video in data.videos for mask in video.masks]
        return fingerprint(data.root, masks, [file for video in data.videos for file in video.files])

    def describe(self, data: Videos, settings: Settings) -> list[str]:
        """Data and protocol, and what changes nothing."""
        frames = sum(len(video.frames) for video in data.videos)
        return [
            f"data: {data.root}, {len(data.videos)} sequences, {frames} frames",
            f"protocol: {settings.protocol}",
            "no engine and no seed takes part, and torchrun does not share a job: --gpus N runs N jobs side by side",
        ]

    def plan(self, model: Model, data: Videos, settings: Settings, scale: str, launch: Launch) -> Plan:
        """The protocol's name; with the first frames alone it is not what others call so."""
        name = settings.protocol.name
        return Plan(name if settings.frames is None else f"{name}, {settings.frames} frames")

    def run(self, model: Model, data: Videos, settings: Settings, scale: str, place: Place) -> Outcome:
        """Propagate and score; label maps stay in the folder."""
        names = [video.name for video in data.videos if len(video.frames[: settings.frames]) >= 3]
        if not names:
            raise InputError(f"{data.root}: no sequence has 3 frames or more, so none can be scored")
        short = [video.name for video in data.videos if video.name not in names]
        if short:
            say(f"{len(short)} of {len(data.videos)} sequences have fewer than 3 frames and no score: {short[0]}")
        device = usable_device(place.device)
        encoder = backbone_encoder(model.module.to(device), model.card)
        found = evaluate(
            encoder, data.root, place.folder, sequences=names, frames=settings.frames, protocol=settings.protocol,
            device=str(device), progress=place.progress,
        )  # fmt: skip
        return Outcome(found["metrics"], found["run"], interval(found["metrics"]))

    def draw(self, data: Videos, settings: Settings, runs: Mapping[str, Path], pictures: Path) -> None:
        """The first sequences, with their label maps."""
        for label, folder in runs.items():
            for video in data.videos[:PICTURES]:
                frames = video.frames[: settings.frames]
                maps = [read_mask(folder / video.name / f"{path.stem}.png") for path in frames]
                draw_sequence(pictures / label, replace(video, frames=frames), maps)


def open_videos(data_root: str | os.PathLike[str], scale: str) -> Videos:
    """Every validation sequence; :class:`InputError` at scale ``paper`` where some are missing."""
    if scale == "mini" and not any((Path(data_root) / name).is_dir() for name in ("davis", "DAVIS", "Annotations")):
        shapes.write_world(data_root, "demo", sets=("davis",))
    root = find_root(data_root)
    videos = tuple(open_video(root, name) for name in sequence_names(root))
    for video in videos:
        if len(video.frames) >= FEWEST_MASKS:  # shorter ones are left out of the score, and that is said
            require_enough(video.name, video.masks)
    frames = sum(len(video.frames) for video in videos)
    if scale == "paper" and (len(videos), frames) != (TOTALS["val"], VAL_FRAMES):
        raise InputError(
            f"{root} has {len(videos)} validation sequences with {frames} frames instead of {TOTALS['val']} "
            f"with {VAL_FRAMES}: complete it (tools/prepare_data.py davis), or ask for --scale mini"
        )
    return Videos(root, videos)


def interval(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """A record's ``interval`` over objects, of which the official means are."""
    j, f = (np.array([one[measure] for one in metrics["per_object"].values()]) for measure in "JF")
    return bootstrap.of_mean("objects", {"J&F-Mean": (j + f) / 2, "J-Mean": j, "F-Mean": f})


TASKS = (
    Davis("davis", DINO, "DAVIS 2017 label propagation, DINO's protocol at 480p"),
    Davis("davis-crw", CRW, "DAVIS 2017 label propagation, videowalk's protocol at native size"),
    Davis("davis-dinov3-s", DINOV3_S, "DAVIS 2017 label propagation, DINOv3's protocol at 480 pixels"),
    Davis("davis-dinov3-m", DINOV3_M, "DAVIS 2017 label propagation, DINOv3's protocol at 960 pixels"),
    Davis("davis-dinov3-l", DINOV3_L, "DAVIS 2017 label propagation, DINOv3's protocol at 1440 pixels"),
    Davis("davis-siammae", SIAMMAE, "DAVIS 2017 label propagation, SiamMAE's protocol at 480x880"),
)
