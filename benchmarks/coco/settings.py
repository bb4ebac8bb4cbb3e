"""What a run on COCO may be told: the recipe's options, and what the backbone is."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.backbones.patches import PATCHES
from benchmarks.coco.recipe import Options
from benchmarks.coco.scoring import BOX_SCORERS
from benchmarks.core.settings import option
from benchmarks.engines.adaptation import Adaptation
from benchmarks.errors import InputError


@dataclass(frozen=True)
class Settings(Options):
    """The engine, the variant of the published config, changes of its recipe (None: as it is), and who scores boxes."""

    engine: str = option("mmdet", "", ("mmdet", "detectron2"))
    variant: str = ""
    frozen: bool | None = None
    boxes_by: str = option(BOX_SCORERS[0], "who scores the boxes", BOX_SCORERS)
    patches: str = option(
        "resample", "patches that fit no stride, such as 14: their kernel resampled to 16, or images padded", PATCHES
    )
    checkpointing: bool = option(
        False, "recompute activations of the backbone: less memory, a third more time", launch=True
    )

    @property
    def options(self) -> Options:
        """The changes of the recipe alone."""
        return Options(self.batch, self.per_device, self.learning_rate, self.updates, self.precision)

    @property
    def adaptation(self) -> Adaptation:
        """What the backbone is told."""
        return Adaptation(self.patches, self.checkpointing)


@dataclass(frozen=True)
class ViTDetSettings(Settings):
    """ViTDet's own settings; None: those of the checkpoint's recipe (:mod:`benchmarks.coco.vitdet`)."""

    window: int | None = option(None, "tokens along a window; 0: global attention in every block")
    drop_path: float | None = option(None, "of the last block, rising linearly from 0")
    layer_decay: float | None = option(None, "factor of the learning rate from a layer to the one below")
    prefix_tokens: bool | None = option(
        None, "take class token and registers along; default: where there are registers (ViTDet has none)"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, value, low, high in (
            ("window", self.window, 0, 1024),
            ("drop-path", self.drop_path, 0, 0.999),
            ("layer-decay", self.layer_decay, 1e-3, 1),
        ):
            if value is not None and not low <= value <= high:
                raise InputError(f"--{name} is {value}: give a number from {low:g} to {high:g}")

    @property
    def adaptation(self) -> Adaptation:
        return Adaptation(
            self.patches, self.checkpointing, self.window, self.prefix_tokens, self.drop_path, self.layer_decay
        )
