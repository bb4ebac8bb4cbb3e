"""What the paper leaves open about Table 3: every choice has a name, a value at each scale, and a reason.

A run's record carries all of them. They replace the values of the config in ``third_party_configs/mmdet``.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from benchmarks.backbones.patches import PATCHES
from benchmarks.core.settings import flag, option
from benchmarks.engines.adaptation import Adaptation
from benchmarks.errors import InputError


@dataclass(frozen=True)
class DetectorOptions:
    """Of Table 3's detector on any aerial data; the defaults are those of scale ``paper``."""

    long_side: int = option(1000, "that of ClusDet's public configs, which are for VisDrone; aspect kept")
    short_side: int = option(600, "that of ClusDet's public configs, which are for VisDrone; aspect kept")
    chips: str = option(
        "none",
        "ClusDet is said to have trained on even chips of a frame as well; whether FLSL did is unknown",
        ("none", "even"),
    )
    ignored_regions: str = option(
        "unused", "whether they mask the training loss is unknown; here they do not unless asked", ("unused", "masked")
    )
    nms: str = option("classwise", "the detector's default, though the score knows no class", ("classwise", "pooled"))
    score_threshold: float = option(0.001, "the score has none; 0.05, usual for COCO, would cut the curve's tail")
    detections_per_image: int = option(
        500, "the score has no limit; 100, usual for COCO, is less than some frames hold"
    )
    epochs: int = option(12, "1x, as the paper says; the learning rate drops after two thirds and eleven twelfths")
    batch: int = option(8, "over all devices; Table 1's, as inferred from its learning rate")
    learning_rate: float = option(5e-5, "Table 1's AdamW; ClusDet's SGD does not carry over to a ViT")
    detector_heads: int | None = option(
        None, "the checkpoint's own attention heads; 8 is what FLSL's released detection configs say by mistake"
    )
    patches: str = option("resample", "patches of 14 pixels: their kernel resampled to 16, or images padded", PATCHES)
    per_device: int | None = option(
        None, "images a device takes at a time; gradients are accumulated to the batch", launch=True
    )
    checkpointing: bool = option(False, "recompute the backbone's activations: less memory, more time", launch=True)
    validate_every: int = option(
        0, "epochs between scores during training; 0: the test set is looked at once, at the end"
    )

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value, choices = getattr(self, field.name), field.metadata["choices"]
            if choices and value not in choices:
                raise InputError(f"{flag(field.name)} is {value!r}: choose one of {', '.join(map(str, choices))}")
        positive = ("long_side", "short_side", "detections_per_image", "epochs", "batch", "learning_rate", "per_device")
        for name in positive:
            if getattr(self, name) is None:
                continue
            if not getattr(self, name) > 0:
                raise InputError(f"{flag(name)} is {getattr(self, name)}: give a number above 0")
        if not 0 <= self.score_threshold < 1 or self.validate_every < 0:
            raise InputError("--score-threshold must be from 0 to 1, --validate-every not negative")

    @property
    def adaptation(self) -> Adaptation:
        """What the backbone is told."""
        return Adaptation(self.patches, self.checkpointing)

    def lines(self) -> list[str]:
        """Every option for people, with its reason, and what scale ``paper`` has instead."""
        shown = []
        for name, entry in self.as_record().items():
            instead = f" (scale paper: {entry['paper_scale']})" if entry["value"] != entry["paper_scale"] else ""
            shown.append(f"  {name} = {entry['value']}{instead}: {entry['reason']}")
        return shown

    def as_record(self) -> dict[str, Any]:
        """Name -> its value, that of scale ``paper``, and the reason for the latter."""
        return {
            field.name: {
                "value": getattr(self, field.name),
                "paper_scale": field.default,
                "reason": field.metadata["help"],
            }
            for field in dataclasses.fields(self)
        }


@dataclass(frozen=True)
class Options(DetectorOptions):
    """On UAVDT."""

    classes: int = option(3, "UAVDT's own; the score pools them. One class is said to score higher so", (3, 1))


#: The shapes world's sequences on two cores: 180 steps of a small detector.
MINI = Options(
    classes=1,
    long_side=512,
    short_side=288,
    detections_per_image=100,
    epochs=4,
    batch=2,
    learning_rate=1e-3,
)
SCALES = {"paper": Options(), "mini": MINI}
