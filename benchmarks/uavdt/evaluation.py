"""From the toolkit's text files to scores: the whole test set, each sequence, each attribute."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.errors import InputError, say
from benchmarks.files import require_folder
from benchmarks.uavdt.rows import (
    BOX,
    DETECTION_COLUMNS,
    FRAME,
    IGNORE_COLUMNS,
    SCORE,
    TRUTH_COLUMNS,
    read_rows,
    refuse_beyond,
)
from benchmarks.uavdt.scoring import OFFICIAL_IOU, Curve, Outcome, match, outside_ignored, precision_recall
from benchmarks.uavdt.sequences import ATTRIBUTES, TEST_FRAMES, WITHOUT_IGNORE_STEP

PROTOCOL = "UAVDT toolkit, overall: IoU 0.7, class-agnostic, detections strictly inside an ignored region left out"
COCO_IOUS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))


@dataclass(frozen=True)
class Ground:
    """Ground truth of one sequence: boxes as :mod:`benchmarks.uavdt.scoring` takes them, and its length if known."""

    name: str
    truth: np.ndarray  # float64 [G, 5]
    regions: np.ndarray  # float64 [R, 5]
    length: int | None


@dataclass
class Outcomes:
    """Outcomes at each IoU by sequence, in the toolkit's order, and how many detections were left out and why."""

    at: dict[float, dict[str, Outcome]] = field(default_factory=dict)
    ignored: int = 0
    beyond: int = 0

    def add(self, ground: Ground, detections: np.ndarray, scores: np.ndarray) -> None:
        """Score the detections ``[N, 5]`` of one sequence; those after its last frame do not count."""
        if ground.length is not None:
            inside = detections[:, 0] <= ground.length
            self.beyond += int((~inside).sum())
            detections, scores = detections[inside], scores[inside]
        keep = outside_ignored(detections, ground.regions)
        self.ignored += int((~keep).sum())
        for iou, outcomes in self.at.items():
            outcomes[ground.name] = match(ground.truth, detections[keep], scores[keep], iou)

    def curves(self) -> dict[str, Curve]:
        """The official precision-recall curve of ``all`` and of each attribute that a scored sequence has."""
        outcomes = self.at[OFFICIAL_IOU]
        groups = {"all": tuple(outcomes), **ATTRIBUTES}
        members = {group: [outcomes[name] for name in names if name in outcomes] for group, names in groups.items()}
        return {group: precision_recall(found) for group, found in members.items() if found}

    def scores(self) -> dict[str, Any]:
        """The result as JSON data; ``AP`` in percent, not rounded, is always by the official rule."""
        outcomes = self.at[OFFICIAL_IOU]
        names = tuple(outcomes)
        attributes = {attribute: [n for n in members if n in outcomes] for attribute, members in ATTRIBUTES.items()}
        result = {
            **_numbers(outcomes, names),
            "per_sequence": {name: _numbers(outcomes, [name]) for name in names},
            "attributes": {
                attribute: {**_numbers(outcomes, members), "sequences": members}
                for attribute, members in attributes.items()
                if members
            },
            "protocol": PROTOCOL,
            "whole_test_set": names == tuple(TEST_FRAMES),
            "sequences": list(names),
            "num_ignored": self.ignored,
            "num_beyond": self.beyond,
        }
        if len(self.at) > 1:
            result["unofficial"] = self._unofficial()
        return result

    def _unofficial(self) -> dict[str, float]:
        """AP at other thresholds, and COCO's mean over ten of them, in percent; no published UAVDT score is one."""
        curves = {iou: precision_recall(list(outcomes.values())) for iou, outcomes in self.at.items()}
        found = {f"AP at IoU {iou:g}": curve.ap for iou, curve in curves.items() if iou != OFFICIAL_IOU}
        if set(COCO_IOUS) <= curves.keys():
            found["COCO-style AP at IoU 0.5:0.95"] = float(np.mean([curves[iou].ap_101 for iou in COCO_IOUS]))
        return found


def evaluate(
    ground_truth: str | os.PathLike[str],
    detections: str | os.PathLike[str],
    sequences: Sequence[str] | None = None,
    drop_beyond: bool = False,
    ious: Sequence[float] = (),
    progress: Callable[[str], None] = lambda name: None,
) -> Outcomes:
    """Match the detections ``detections/<name>.txt`` to the ground truth in the folder ``ground_truth``.

    Args:
        sequences: official names or others; default: the official test set, every one of which must be there.
        drop_beyond: leave out rows after the last frame of an official test sequence, as the toolkit does.
            By default such a row is refused, because it says that frames were numbered otherwise.
        ious: further thresholds, off the official rule.
        progress: is told every sequence before it is read.

    Raises:
        InputError: for a file that is missing, or with the row that is not usable.
    """
    folder = find_ground_truth(ground_truth)
    results = require_folder(detections, "folder of detections")
    names = _selected(sequences, folder, results)
    outcomes = Outcomes({iou: {} for iou in (OFFICIAL_IOU, *ious)})
    for name in names:
        progress(name)
        ground = read_ground(folder, name, drop_beyond)
        outcomes.add(ground, *read_detections(results, ground, drop_beyond))
    if line := _explain_zero(outcomes, folder, results, drop_beyond):
        say(line)
    return outcomes


def _explain_zero(outcomes: Outcomes, folder: Path, results: Path, drop_beyond: bool) -> str | None:
    """Where nothing was hit: whether columns were taken for others."""
    official = outcomes.at[OFFICIAL_IOU]
    if any(outcome.hits.any() for outcome in official.values()):
        return None
    count = sum(len(outcome.hits) for outcome in official.values())
    if not count:
        return "there is no detection at all: AP is 0"
    hits = 0
    for name in official:
        ground = read_ground(folder, name, drop_beyond)
        boxes, scores = read_detections(results, ground, drop_beyond)
        boxes[:, 3:] -= boxes[:, 1:3]
        wide = (boxes[:, 3:] > 0).all(axis=1)
        hits += int(match(ground.truth, boxes[wide], scores[wide]).hits.sum())
    if hits:
        return (
            f"none of {count} detections hits an object, but {hits} would with columns 3 to 6 as two corners: "
            "left, top, width, height are expected"
        )
    return f"none of {count} detections overlaps an object by {OFFICIAL_IOU}: are frames and sizes the data set's?"


def find_ground_truth(folder: str | os.PathLike[str]) -> Path:
    """``folder`` itself, or the ``GT`` inside it where the data set or the toolkit has it."""
    folder = require_folder(folder, "folder of ground truth")
    for inner in ("GT", "UAV-benchmark-MOTD_v1.0/GT"):
        if (folder / inner).is_dir():
            return folder / inner
    return folder


def read_ground(folder: Path, name: str, drop_beyond: bool = False) -> Ground:
    """Ground truth of one sequence. All of its objects count: out of view, hidden and of whatever class."""
    path = folder / f"{name}_gt_whole.txt"
    rows = read_rows(path, TRUTH_COLUMNS, "ground truth file")
    length = TEST_FRAMES.get(name)
    if length is not None:
        if not drop_beyond:
            refuse_beyond(path, rows, length)
        rows = rows[rows[:, FRAME] <= length]
    regions = np.empty((0, IGNORE_COLUMNS))
    if name not in WITHOUT_IGNORE_STEP:
        regions = read_rows(folder / f"{name}_gt_ignore.txt", IGNORE_COLUMNS, "file of ignored regions")
    return Ground(name, _boxes(rows), _boxes(regions), length)


def read_detections(
    folder: str | os.PathLike[str], ground: Ground, drop_beyond: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Boxes ``[N, 5]`` and scores ``[N]`` detected in a sequence, in file order."""
    path = Path(folder) / f"{ground.name}.txt"
    rows = read_rows(path, DETECTION_COLUMNS, "file of detections")
    if ground.length is not None and not drop_beyond:
        refuse_beyond(path, rows, ground.length)
    return _boxes(rows), rows[:, SCORE]


def _boxes(rows: np.ndarray) -> np.ndarray:
    return np.concatenate([rows[:, FRAME, None], rows[:, BOX]], axis=1)


def _selected(sequences: Sequence[str] | None, folder: Path, results: Path) -> list[str]:
    """Names in the toolkit's order, with every file that they need."""
    names = sorted(TEST_FRAMES if sequences is None else sequences)
    if not names or len(set(names)) < len(names):
        raise InputError(f"the sequences {','.join(names)!r} are none or not distinct: name each once")
    hint = "; to score a part of the test set, name it: --sequences M0203,M0208" if sequences is None else ""
    for name in names:
        needed = {folder / f"{name}_gt_whole.txt": "check the name", results / f"{name}.txt": "an empty one is no box"}
        if name not in WITHOUT_IGNORE_STEP:
            needed[folder / f"{name}_gt_ignore.txt"] = "an empty one is no region"
        for path, advice in needed.items():
            if not path.is_file():
                raise InputError(f"sequence {name}: {path} does not exist ({advice}{hint})")
    return names


def _numbers(outcomes: dict[str, Outcome], names: Sequence[str]) -> dict[str, Any]:
    curve = precision_recall([outcomes[name] for name in names])
    return {"AP": curve.ap, "num_gt": curve.truths, "num_det": len(curve.recall), "tp": curve.hits}
