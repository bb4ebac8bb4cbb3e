"""What every case gets and gives."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.coco.dataset import CocoRoot
from benchmarks.controls import POSITIVE_CONTROL
from benchmarks.regression.worlds import world_set

ROOM = Path(__file__).parent
CONFIGS = ROOM / "configs"
#: Case -> its detector; these run on the user's own COCO too.
DETECTORS_ON_COCO = {"coco": CONFIGS / "mask_rcnn.py", "vitdet": CONFIGS / "mask_rcnn_vitdet.py"}
WEIGHTS = ROOM / "weights"


class Malformed(Exception):
    """A run went through, and what it left behind is not what it should be."""


@dataclass(frozen=True)
class Setting:
    """Where a regression reads and writes, and with what.

    ``coco`` is the user's own data; None: the shapes world. ``checkpoint`` is canonical; ``weights`` is the folder of
    the stored detectors and the segmenter.
    """

    tier: str
    out: Path
    cache: Path
    weights: Path = WEIGHTS
    checkpoint: Path = POSITIVE_CONTROL
    coco: CocoRoot | None = None

    def data(self, name: str) -> Path:
        """The folder of a data set at this tier's size."""
        return self.coco.path if self.coco else world_set(self.cache, self.tier, name)

    def fresh(self, case: str) -> Path:
        """An empty folder for the files of a case: those of an earlier regression are removed."""
        folder = self.out / f"regression-{self.tier}-{case}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder


@dataclass(frozen=True)
class Measured:
    """What a case found: scores in points, where its data is, the files whose weights took part, facts of the run."""

    scores: dict[str, float]
    data: Path
    weights: tuple[Path, ...] = ()
    run: dict[str, Any] = field(default_factory=dict)
