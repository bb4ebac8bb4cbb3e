"""Semantic FPN on ADE20K as a task (the paper's appendix)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from benchmarks import shapes
from benchmarks.ade20k.dataset import SPLITS, Ade20kRoot, open_ade20k
from benchmarks.ade20k.pictures import write_predictions
from benchmarks.ade20k.run import SCALES, Options, config_file, memory, run
from benchmarks.backbones.fine_tuning import fitted
from benchmarks.core.data import Fingerprint, fingerprint
from benchmarks.core.model import Model
from benchmarks.core.task import Launch, Outcome, Place, Plan, Task
from benchmarks.engines import mmseg as engine
from benchmarks.engines.adaptation import require_any_size
from benchmarks.engines.identity import resolved_config
from benchmarks.engines.schedule import share
from benchmarks.errors import InputError
from benchmarks.processes import is_first_process


class Ade20k(Task[Options, Ade20kRoot]):
    """The appendix's benchmark. A recipe other than the released one is a variant with a row of its own."""

    name = "ade20k-fpn"
    benchmark = "ade20k"
    title = "Semantic FPN on ADE20K, 40,000 steps"
    needs = "weights"
    engine = "mmseg"
    version = 2  # 1: images were not normalised
    data = "ADE20K (scene parsing benchmark), ade20k/"
    cost = "GPU-hours: none published; 40,000 steps of 16 crops of 512x512 pixels"
    mini_minutes = 0.5
    shared_by = "processes"
    columns = (("mIoU", "mIoU", 1.0), ("mAcc", "mAcc", 1.0), ("aAcc", "aAcc", 1.0))

    def settings(self, scale: str) -> Options:
        """The released recipe's, or the miniature's."""
        return SCALES[scale]

    def open(self, data_root: Path, scale: str, settings: Options) -> Ade20kRoot:
        """What is there; for scale ``mini`` the shapes world's, written there, if there is no ADE20K."""
        return open_scenes(data_root, scale)

    def fingerprint(self, data: Ade20kRoot) -> Fingerprint:
        """Of the class list, the label maps and the images."""
        images = [data.image(split, stem) for split in SPLITS for stem in data.stems[split]]
        return fingerprint(data.path, data.annotation_files(), images)

    def describe(self, data: Ade20kRoot, settings: Options) -> list[str]:
        """Data and options."""
        counts = ", ".join(f"{len(stems)} {split} images" for split, stems in data.stems.items())
        lines = [f"data: {data.path}, {counts}, {len(data.classes)} classes"]
        return lines + [f"  {name} = {value}" for name, value in vars(settings).items()]

    def suit(self, model: Model, settings: Options, scale: str) -> None:
        """A checkpoint whose patches or stages the head takes, at more than one size of images where it is trained."""
        model.weights(self.name)
        config = engine.read_config(config_file(scale, settings.recipe))
        require_any_size(model.card.architecture, config["model"]["backbone"]["frozen"], self.name)
        fitted(model.card.architecture, settings.patches, model.name)

    def plan(self, model: Model, data: Ade20kRoot, settings: Options, scale: str, launch: Launch) -> Plan:
        """The recipe's config, resolved."""
        engine.require_installed("mmseg", "mmcv")
        share(settings.batch, settings.per_device, launch.devices)
        self.suit(model, settings, scale)
        config = config_file(scale, settings.recipe)
        variant = "" if settings.recipe == "released" else f"-{settings.recipe}"
        return Plan(
            f"semantic-fpn-{settings.iterations} ({settings.recipe})",
            {"config": resolved_config(engine.read_config(config))},
            variant,
            (config.name,),
        )

    def foresee(self, model: Model, data: Ade20kRoot, settings: Options, scale: str, launch: Launch) -> list[str]:
        """The memory of a pass of crops."""
        return memory(model.weights(self.name), scale, settings, len(data.classes), launch.devices)

    def require(self, scale: str, device: str) -> None:
        """mmseg, and for scale paper a GPU."""
        engine.require_mmseg()
        if device != "auto":
            raise InputError("--device: mmseg trains on the GPU where there is one; CUDA_VISIBLE_DEVICES= hides it")
        if scale == "paper" and engine.device_name() == "cpu":
            raise InputError("scale paper needs a GPU and torch finds none here: --scale mini and --dry-run do without")

    def run(self, model: Model, data: Ade20kRoot, settings: Options, scale: str, place: Place) -> Outcome:
        """Train, predict, score; label maps stay in ``predictions`` in the folder."""
        how = (place.launch.launcher, place.launch.devices, None, place.progress and is_first_process())
        found = run(model.weights(self.name), data, place.folder, scale, settings, place.seed, *how)
        return Outcome(found["metrics"], found["run"], found["interval"])

    def device(self, asked: str) -> str:
        """The engine's: it takes the GPU by itself."""
        return engine.device_name()

    def draw(self, data: Ade20kRoot, settings: Options, runs: Mapping[str, Path], pictures: Path) -> None:
        """Every run's predictions, side by side."""
        predictions = {label: folder / "predictions" for label, folder in runs.items()}
        write_predictions(pictures / f"predictions-{settings.recipe}.png", data, predictions, engine.ade20k_palette())


def open_scenes(data_root: str | os.PathLike[str], scale: str) -> Ade20kRoot:
    """What is under ``data_root``; for scale ``mini`` the shapes world's, written there, if there is no ADE20K."""
    places = ("ade20k", "ADEChallengeData2016", "images")
    if scale == "mini" and not any((Path(data_root) / name).is_dir() for name in places):
        shapes.write_world(data_root, "demo", 0, ("ade20k",))
    return open_ade20k(data_root)


TASKS = (Ade20k(),)
