"""Table 3: Faster R-CNN on UAVDT for several checkpoints and seeds."""

from __future__ import annotations

import argparse
import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import shapes
from benchmarks.engines import mmdet as engine
from benchmarks.errors import InputError
from benchmarks.processes import is_first_process
from benchmarks.records import fingerprint
from benchmarks.tables.benchmark import Benchmark, Launch
from benchmarks.tables.jobs import Job, Setup, config_digest, expand
from benchmarks.tables.table3 import TABLE
from benchmarks.uavdt import options
from benchmarks.uavdt.dataset import UavdtRoot, open_uavdt
from benchmarks.uavdt.evaluation import PROTOCOL, evaluate
from benchmarks.uavdt.pictures import attribute_panels, write_curves, write_frames
from benchmarks.uavdt.run import CONFIG, run


class Uavdt(Benchmark):
    """Table 3."""

    table = TABLE
    engines = ("mmdet",)

    def flags(self, parser: argparse.ArgumentParser) -> None:
        """What the paper leaves open."""
        options.add_flags(parser)

    def open(self, args: argparse.Namespace, checkpoints: Mapping[str, Path]) -> list[Job]:
        """A job for each checkpoint and seed."""
        self.scale, self.options = args.scale, options.from_flags(args, args.scale)
        self.data = open_data(args.data_root, args.scale)
        facts = fingerprint(self.data.path, self.data.text_files())
        setup = Setup(PROTOCOL, config_digest(CONFIG[args.scale]), dataclasses.asdict(self.options))
        return expand(TABLE, args, checkpoints, facts, lambda checkpoint, card: setup)

    def lines(self) -> list[str]:
        """Data, config, and every option with its reason."""
        train, test = sum(self.data.train.values()), sum(self.data.test.values())
        lines = [f"data: {self.data.path}, {train} training frames, {test} test frames"]
        lines.append(f"config: {CONFIG[self.scale].name}, scale {self.scale}")
        for name, entry in self.options.as_record().items():
            instead = f" (scale paper: {entry['paper_scale']})" if entry["value"] != entry["paper_scale"] else ""
            lines.append(f"  {name} = {entry['value']}{instead}: {entry['reason']}")
        return lines

    def require(self) -> None:
        """mmdet, and for scale paper a GPU."""
        engine.require_mmdet()
        if self.scale == "paper" and engine.device_name() == "cpu":
            raise InputError("scale paper needs a GPU and torch finds none here: --scale mini and --dry-run do without")

    def run(self, job: Job, folder: Path, launch: Launch) -> dict[str, Any]:
        """Train, detect, score; detections stay in ``folder/detections``."""
        how = (launch.launcher, launch.devices, is_first_process())
        return run(job.checkpoint, self.data, folder, job.scale, self.options, job.seed, *how)

    def device(self) -> str:
        """mmdet's."""
        return engine.device_name()

    def draw(self, folders: Mapping[Job, Path], pictures: Path) -> None:
        """Frames with their detections, and precision-recall curves."""
        test = self.data.test
        frames = [(name, number) for name, length in test.items() for number in (1 + length // 3, 1 + 2 * length // 3)]
        curves = {}
        for job, folder in folders.items():
            found = evaluate(self.data.ground_truth, folder / "detections", list(test)).curves()
            curves[f"{job.name}, seed {job.seed}"] = found["all"]
            write_curves(pictures / f"curves-{job.label}.png", attribute_panels(found))
            write_frames(pictures / f"frames-{job.label}.png", self.data, folder / "detections", frames[:8])
        write_curves(pictures / "curves.png", {"test set": curves})


def open_data(data_root: str | os.PathLike[str], scale: str) -> UavdtRoot:
    """All of UAVDT for scale ``paper``; for ``mini`` what is there, or else the shapes world's, written there."""
    if scale == "mini" and not any((Path(data_root) / name).is_dir() for name in ("uavdt", "UAV-benchmark-M")):
        shapes.write_uavdt(data_root)
    return open_uavdt(data_root, whole=scale == "paper")
