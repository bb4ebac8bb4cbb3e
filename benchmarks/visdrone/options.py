"""How Table 3's detector is set up for VisDrone-DET: UAVDT's choices, with VisDrone's reasons where they differ."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.core.settings import option
from benchmarks.uavdt.options import DetectorOptions


@dataclass(frozen=True)
class Options(DetectorOptions):
    """The defaults are those of scale ``paper``; no paper has this row, so none of them is a reproduction."""

    chips: str = option("none", "ClusDet trained on even chips of a picture as well", ("none", "even"))
    ignored_regions: str = option(
        "masked",
        "the score leaves them out; 'unused' makes them background, as most converters do",
        ("unused", "masked"),
    )
    nms: str = option("classwise", "the detector's default, and the score knows classes", ("classwise", "pooled"))
    detections_per_image: int = option(500, "what the score takes of a picture")


#: The shapes world's pictures on two cores.
MINI = Options(long_side=512, short_side=288, detections_per_image=100, epochs=4, batch=2, learning_rate=1e-3)
SCALES = {"paper": Options(), "mini": MINI}
