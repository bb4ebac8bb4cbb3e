"""TimeT (SMSD75/Timetuning): a DINO ViT-S under two leading name parts, prototypes and a projector beside it."""

from __future__ import annotations

from benchmarks.checkpoints.container import Opened
from benchmarks.checkpoints.formats.family import Family, Place, Taken, table

STUDENT, TEACHER = "feature_extractor.backbone.", "teacher.backbone."


class TimeT(Family):
    method, licence, rank = "TimeT", "BSD-3-Clause-Clear (Qualcomm; no patent rights)", 20
    places = tuple(
        Place(branch, path, prefix)
        for path in ((), ("model",), ("state_dict",))
        for branch, prefix in (("feature_extractor", STUDENT), ("teacher", TEACHER))
    )
    drops = table(
        {
            r"feature_extractor\.backbone\.": "other branch: feature extractor",
            r"teacher\.backbone\.": "other branch: teacher",
            r"(?:feature_extractor|teacher)\.": "projector",
            r"(?:teacher_)?prototypes$": "prototypes",
            r"queue$": "queue",
            r"head\.": "classifier",
        }
    )
    heads_by_width = table({384: 6, 768: 12})

    def recognises(self, opened: Opened, taken: Taken) -> bool:
        return any(name.endswith("prototypes") for name in taken.source_names)


FAMILIES = (TimeT(),)
