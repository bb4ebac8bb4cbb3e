"""Semantic FPN of the appendix for several checkpoints and seeds."""

from __future__ import annotations

import argparse
import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import shapes
from benchmarks.ade20k.dataset import Ade20kRoot, open_ade20k
from benchmarks.ade20k.pictures import write_predictions
from benchmarks.ade20k.run import RECIPES, SCALES, Options, config_file, run
from benchmarks.engines import mmseg as engine
from benchmarks.errors import InputError
from benchmarks.processes import is_first_process
from benchmarks.records import fingerprint
from benchmarks.tables.ade20k import TABLE
from benchmarks.tables.benchmark import Benchmark, Launch
from benchmarks.tables.jobs import Job, Setup, config_digest, expand


class Ade20k(Benchmark):
    """The appendix's table. A recipe other than the released one is a variant with a row of its own."""

    table = TABLE

    def flags(self, parser: argparse.ArgumentParser) -> None:
        """The recipe, and a flag for each of :class:`Options`."""
        parser.add_argument("--recipe", choices=RECIPES, default="released", help="default: %(default)s")
        for field in dataclasses.fields(Options):
            values = " / ".join(str(getattr(options, field.name)) for options in SCALES.values())
            flag = f"--{field.name.replace('_', '-')}"
            parser.add_argument(flag, type=type(field.default), help=f"paper / mini scale: {values}")

    def open(self, args: argparse.Namespace, checkpoints: Mapping[str, Path]) -> list[Job]:
        """A job for each checkpoint and seed."""
        if args.device != "auto":
            raise InputError("--device: mmseg trains on the GPU where there is one; CUDA_VISIBLE_DEVICES= hides it")
        given = {field.name: getattr(args, field.name) for field in dataclasses.fields(Options)}
        given = {name: value for name, value in given.items() if value is not None}
        self.scale, self.recipe = args.scale, args.recipe
        self.options = dataclasses.replace(SCALES[args.scale], **given)
        self.data = open_data(args.data_root, args.scale)
        facts = fingerprint(self.data.path, self.data.annotation_files())
        setup = Setup(
            f"semantic-fpn-{self.options.iterations} ({args.recipe})",
            config_digest(config_file(args.scale, args.recipe)),
            dataclasses.asdict(self.options),
            "" if args.recipe == "released" else f"-{args.recipe}",
        )
        return expand(TABLE, args, checkpoints, facts, lambda checkpoint, card: setup)

    def lines(self) -> list[str]:
        """Data, config and options."""
        counts = ", ".join(f"{len(stems)} {split} images" for split, stems in self.data.stems.items())
        lines = [f"data: {self.data.path}, {counts}, {len(self.data.classes)} classes"]
        lines.append(f"config: {config_file(self.scale, self.recipe).name}, scale {self.scale}, recipe {self.recipe}")
        return lines + [f"  {name} = {value}" for name, value in dataclasses.asdict(self.options).items()]

    def require(self) -> None:
        """mmseg, and for scale paper a GPU."""
        engine.require_mmseg()
        if self.scale == "paper" and engine.device_name() == "cpu":
            raise InputError("scale paper needs a GPU and torch finds none here: --scale mini and --dry-run do without")

    def run(self, job: Job, folder: Path, launch: Launch) -> dict[str, Any]:
        """Train, predict, score; label maps stay in ``folder/predictions``."""
        how = (launch.launcher, launch.devices, is_first_process())
        return run(job.checkpoint, self.data, folder, job.scale, self.recipe, self.options, job.seed, *how)

    def device(self) -> str:
        """mmengine's."""
        return engine.device_name()

    def draw(self, folders: Mapping[Job, Path], pictures: Path) -> None:
        """Every checkpoint's predictions with its first seed, side by side."""
        first: dict[str, Path] = {}
        for job, folder in folders.items():
            first.setdefault(job.name, folder / "predictions")
        write_predictions(pictures / f"predictions-{self.recipe}.png", self.data, first, engine.ade20k_palette())


def open_data(data_root: str | os.PathLike[str], scale: str) -> Ade20kRoot:
    """What is under ``data_root``; for scale ``mini`` the shapes world's, written there, if there is no ADE20K."""
    if scale == "mini" and not any((Path(data_root) / name).is_dir() for name in ("ade20k", "ADEChallengeData2016")):
        shapes.write_world(data_root, "demo", 0, ("ade20k",))
    return open_ade20k(data_root)
