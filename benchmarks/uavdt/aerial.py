"""What UAVDT and VisDrone share as tasks: Table 3's detector, its config by scale, and what it needs of a model."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, TypeVar

from benchmarks.backbones.fine_tuning import fitted
from benchmarks.core.forecast import memory_lines
from benchmarks.core.model import Model
from benchmarks.core.task import Launch, Plan, Task
from benchmarks.engines import mmdet as engine
from benchmarks.engines.adaptation import require_any_size
from benchmarks.engines.identity import resolved_config
from benchmarks.engines.memory import Pass, detector_peak
from benchmarks.engines.schedule import share
from benchmarks.errors import InputError
from benchmarks.uavdt.detector import model_settings
from benchmarks.uavdt.options import DetectorOptions

S = TypeVar("S", bound=DetectorOptions)
D = TypeVar("D")


class AerialDetection(Task[S, D]):
    """Faster R-CNN FPN on one data set, under its own score. A subclass opens the data and runs."""

    protocol: str
    configs: ClassVar[Mapping[str, Path]]  # by scale

    def suit(self, model: Model, settings: S, scale: str) -> None:
        """A checkpoint whose patches or stages a pyramid takes, at more than one size of images where it is trained."""
        model.weights(self.name)
        frozen = engine.read_config(self.configs[scale])["model"]["backbone"]["frozen"]
        require_any_size(model.card.architecture, frozen, self.name)
        fitted(model.card.architecture, settings.patches, model.name)

    def plan(self, model: Model, data: D, settings: S, scale: str, launch: Launch) -> Plan:
        """The scale's config, resolved."""
        self.suit(model, settings, scale)
        share(settings.batch, settings.per_device, launch.devices)
        config = resolved_config(engine.read_config(self.configs[scale]))
        return Plan(self.protocol, {"config": config}, details=(self.configs[scale].name,))

    def foresee(self, model: Model, data: D, settings: S, scale: str, launch: Launch) -> list[str]:
        """The memory of a pass, of frames that lie and fill the size they are resized to."""
        checkpoint, config = model.weights(self.name), engine.read_config(self.configs[scale])
        images = share(settings.batch, settings.per_device, launch.devices)
        step = config["model"]["data_preprocessor"]["pad_size_divisor"]
        height, width = (-(-side // step) * step for side in (settings.short_side, settings.long_side))
        accumulated = settings.batch > images * launch.devices
        told = Pass(images, (height, width), accumulated=accumulated, devices=launch.devices)
        changes = model_settings(config, settings, model.card.architecture)
        changes["model.backbone.checkpoint"] = str(checkpoint)
        asked = {"model": config["model"], "changes": changes, "pass": dataclasses.asdict(told)}
        return memory_lines(checkpoint, asked, lambda: detector_peak(config, changes, told).line())

    def require(self, scale: str, device: str) -> None:
        """mmdet, and for scale paper a GPU."""
        engine.require_mmdet()
        if scale == "paper" and engine.device_name() == "cpu":
            raise InputError("scale paper needs a GPU and torch finds none here: --scale mini and --dry-run do without")

    def device(self, asked: str) -> str:
        """The engine's: it takes the GPU by itself."""
        return engine.device_name()
