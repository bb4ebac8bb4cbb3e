"""Table 4: DAVIS 2017 by label propagation for several checkpoints. No seed takes part."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import shapes
from benchmarks.data_check.davis import TOTALS, VAL_FRAMES
from benchmarks.davis.dataset import find_root, open_video, read_mask, sequence_names
from benchmarks.davis.pictures import draw_sequence
from benchmarks.davis.protocol import DINO, MINI
from benchmarks.davis.run import evaluate_checkpoint
from benchmarks.devices import resolve
from benchmarks.errors import InputError
from benchmarks.records import fingerprint
from benchmarks.tables import bootstrap
from benchmarks.tables.benchmark import Benchmark, Launch
from benchmarks.tables.jobs import Job, Setup, digest, expand
from benchmarks.tables.table4 import TABLE

PROTOCOLS = {"paper": DINO, "mini": MINI}

#: Sequences to draw of each checkpoint.
PICTURES = 2


class Davis(Benchmark):
    """Table 4."""

    table = TABLE
    shared_by = "nobody"

    def open(self, args: argparse.Namespace, checkpoints: Mapping[str, Path]) -> list[Job]:
        """A job for each checkpoint."""
        self.protocol, self.on = PROTOCOLS[args.scale], resolve(args.device)
        self.root = open_data(args.data_root, args.scale)
        self.sequences = sequence_names(self.root)
        masks = [path for name in self.sequences for path in open_video(self.root, name).masks]
        facts = fingerprint(self.root, masks)
        setup = Setup(self.protocol.name, digest(asdict(self.protocol)))
        return expand(TABLE, args, checkpoints, facts, lambda checkpoint, card: setup, seeded=False)

    def lines(self) -> list[str]:
        """Data and protocol, and what changes nothing."""
        frames = sum(len(open_video(self.root, name).frames) for name in self.sequences)
        return [
            f"data: {self.root}, {len(self.sequences)} sequences, {frames} frames",
            f"protocol: {self.protocol}",
            "no engine and no seed takes part, and torchrun does not share a job: --gpus N runs N jobs side by side",
        ]

    def run(self, job: Job, folder: Path, launch: Launch) -> dict[str, Any]:
        """Propagate and score; label maps stay in ``folder``."""
        result = evaluate_checkpoint(job.checkpoint, self.root, folder, protocol=self.protocol, device=self.on)
        return {**result, "interval": interval(result["metrics"])}

    def device(self) -> str:
        """What ``--device`` says."""
        return self.on

    def draw(self, folders: Mapping[Job, Path], pictures: Path) -> None:
        """The first sequences, with their label maps."""
        for job, folder in folders.items():
            for name in self.sequences[:PICTURES]:
                video = open_video(self.root, name)
                maps = [read_mask(folder / name / f"{path.stem}.png") for path in video.frames]
                draw_sequence(pictures / job.name, video, maps)


def open_data(data_root: str | os.PathLike[str], scale: str) -> Path:
    """The whole validation set for ``paper``; for ``mini`` what is there, or the shapes world, written there."""
    if scale == "mini" and not any((Path(data_root) / name).is_dir() for name in ("davis", "DAVIS", "Annotations")):
        shapes.write_world(data_root, "demo", sets=("davis",))
    root = find_root(data_root)
    if scale == "paper":
        frames = [len(open_video(root, name).frames) for name in sequence_names(root)]
        if (len(frames), sum(frames)) != (TOTALS["val"], VAL_FRAMES):
            raise InputError(
                f"{root} has {len(frames)} validation sequences with {sum(frames)} frames instead of {TOTALS['val']} "
                f"with {VAL_FRAMES}: complete it (tools/prepare_data.py davis), or ask for --scale mini"
            )
    return root


def interval(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """A record's ``interval`` over objects, of which the official means are."""
    j, f = (np.array([one[measure] for one in metrics["per_object"].values()]) for measure in "JF")
    return bootstrap.of_mean("objects", {"J&F-Mean": (j + f) / 2, "J-Mean": j, "F-Mean": f})
