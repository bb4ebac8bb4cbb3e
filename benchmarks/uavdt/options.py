"""What the paper leaves open about Table 3: every choice has a name, a value at each scale, and a reason.

A run's record carries all of them. They replace the values of the config in ``third_party_configs/mmdet``.
"""

from __future__ import annotations

import argparse
import dataclasses
from dataclasses import dataclass
from typing import Any

from benchmarks.errors import InputError


def _option(default: Any, reason: str, choices: tuple[Any, ...] = ()) -> Any:
    return dataclasses.field(default=default, metadata={"reason": reason, "choices": choices})


@dataclass(frozen=True)
class Options:
    """The defaults are those of scale ``paper``."""

    classes: int = _option(3, "UAVDT's own; the score pools them. One class is said to score higher so", (3, 1))
    long_side: int = _option(1000, "ClusDet's detectors: 600 x 1000, aspect kept")
    short_side: int = _option(600, "ClusDet's detectors: 600 x 1000, aspect kept")
    chips: str = _option(
        "none", "ClusDet also trained on four even chips of a frame; whether FLSL did is unknown", ("none", "even")
    )
    ignored_regions: str = _option(
        "unused", "whether they mask the training loss is unknown; here they do not unless asked", ("unused", "masked")
    )
    nms: str = _option("classwise", "the detector's default, though the score knows no class", ("classwise", "pooled"))
    score_threshold: float = _option(0.001, "the score has none; 0.05, usual for COCO, would cut the curve's tail")
    detections_per_image: int = _option(
        500, "the score has no limit; 100, usual for COCO, is less than some frames hold"
    )
    epochs: int = _option(12, "1x, as the paper says; the learning rate drops after two thirds and eleven twelfths")
    batch: int = _option(8, "over all devices; Table 1's, as inferred from its learning rate")
    learning_rate: float = _option(5e-5, "Table 1's AdamW; ClusDet's SGD does not carry over to a ViT")
    detector_heads: int | None = _option(
        None, "the checkpoint's own attention heads; 8 is what FLSL's released detection configs say by mistake"
    )
    validate_every: int = _option(
        0, "epochs between scores during training; 0: the test set is looked at once, at the end"
    )

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value, choices = getattr(self, field.name), field.metadata["choices"]
            if choices and value not in choices:
                raise InputError(f"{_flag(field.name)} is {value!r}: choose one of {', '.join(map(str, choices))}")
        positive = ("long_side", "short_side", "detections_per_image", "epochs", "batch", "learning_rate")
        for name in positive:
            if not getattr(self, name) > 0:
                raise InputError(f"{_flag(name)} is {getattr(self, name)}: give a number above 0")
        if not 0 <= self.score_threshold < 1 or self.validate_every < 0:
            raise InputError("--score-threshold must be from 0 to 1, --validate-every not negative")

    def as_record(self) -> dict[str, Any]:
        """Name -> its value, that of scale ``paper``, and the reason for the latter."""
        return {
            field.name: {
                "value": getattr(self, field.name),
                "paper_scale": field.default,
                "reason": field.metadata["reason"],
            }
            for field in dataclasses.fields(self)
        }


#: The shapes world's sequences on two cores: a few hundred steps of a small detector.
MINI = Options(
    classes=1,
    long_side=512,
    short_side=288,
    detections_per_image=100,
    epochs=8,
    batch=2,
    learning_rate=1e-3,
)
SCALES = {"paper": Options(), "mini": MINI}


def add_flags(parser: argparse.ArgumentParser) -> None:
    """One flag an option; its help is its reason."""
    group = parser.add_argument_group("what the paper leaves open (defaults by scale: paper, mini)")
    for field in dataclasses.fields(Options):
        default = " / ".join(str(getattr(options, field.name)) for options in SCALES.values())
        kind = int if field.default is None else type(field.default)
        group.add_argument(
            _flag(field.name),
            dest=f"option_{field.name}",
            type=kind,
            metavar="|".join(map(str, field.metadata["choices"])) or kind.__name__.upper(),
            help=f"{field.metadata['reason']} (default: {default})",
        )


def from_flags(arguments: argparse.Namespace, scale: str) -> Options:
    """The options of a scale with what was given on the command line; :class:`InputError` for values of no use."""
    given = {field.name: getattr(arguments, f"option_{field.name}") for field in dataclasses.fields(Options)}
    return dataclasses.replace(SCALES[scale], **{name: value for name, value in given.items() if value is not None})


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
