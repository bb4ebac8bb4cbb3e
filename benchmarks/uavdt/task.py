"""Faster R-CNN on UAVDT as a task (Table 3)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from benchmarks import shapes
from benchmarks.core.data import Fingerprint, fingerprint
from benchmarks.core.model import Model
from benchmarks.core.task import Outcome, Place
from benchmarks.processes import is_first_process
from benchmarks.uavdt.aerial import AerialDetection
from benchmarks.uavdt.dataset import UavdtRoot, open_uavdt, require_sound_truth
from benchmarks.uavdt.evaluation import PROTOCOL, evaluate
from benchmarks.uavdt.options import SCALES, Options
from benchmarks.uavdt.pictures import attribute_panels, write_curves, write_frames
from benchmarks.uavdt.run import CONFIG, run


class Uavdt(AerialDetection[Options, UavdtRoot]):
    """Table 3's benchmark."""

    name = benchmark = "uavdt"
    protocol, configs = PROTOCOL, CONFIG
    title = "Faster R-CNN FPN on UAVDT, average precision at IoU 0.7 by the toolkit's rule (Table 3)"
    needs = "weights"
    engine = "mmdet"
    data = "UAVDT, uavdt/"
    cost = "GPU-hours: none published; 36,000 steps of 8 frames, where COCO's 1x has 90,000 of 16 images"
    mini_minutes = 2.2
    shared_by = "processes"
    columns = (("AP", "AP", 1.0),)

    def settings(self, scale: str) -> Options:
        """What the paper leaves open, at a scale."""
        return SCALES[scale]

    def open(self, data_root: Path, scale: str, settings: Options) -> UavdtRoot:
        """All of UAVDT for scale ``paper``; for ``mini`` what is there, or the shapes world's, written there."""
        return open_sequences(data_root, scale)

    def fingerprint(self, data: UavdtRoot) -> Fingerprint:
        """Of the ground truth and every frame."""
        frames = [
            data.frame(n, i) for s in (data.train, data.test) for n, count in s.items() for i in range(1, count + 1)
        ]
        return fingerprint(data.path, data.text_files(), frames)

    def describe(self, data: UavdtRoot, settings: Options) -> list[str]:
        """Data, and every option with its reason."""
        train, test = sum(data.train.values()), sum(data.test.values())
        lines = [f"data: {data.path}, {train} training frames, {test} test frames"]
        return lines + settings.lines()

    def run(self, model: Model, data: UavdtRoot, settings: Options, scale: str, place: Place) -> Outcome:
        """Train, detect, score; detections stay in ``detections`` in the folder."""
        how = (place.launch.launcher, place.launch.devices, place.progress and is_first_process())
        config = self.configs[scale]
        found = run(model.weights(self.name), data, place.folder, scale, settings, place.seed, *how, config)
        return Outcome(found["metrics"], found["run"], found["interval"])

    def draw(self, data: UavdtRoot, settings: Options, runs: Mapping[str, Path], pictures: Path) -> None:
        """Frames with their detections, and precision-recall curves."""
        frames = [(n, i) for n, length in data.test.items() for i in (1 + length // 3, 1 + 2 * length // 3)]
        curves = {}
        for label, folder in runs.items():
            found = evaluate(data.ground_truth, folder / "detections", list(data.test)).curves()
            curves[label] = found["all"]
            write_curves(pictures / f"curves-{label}.png", attribute_panels(found))
            write_frames(pictures / f"frames-{label}.png", data, folder / "detections", frames[:8])
        write_curves(pictures / "curves.png", {"test set": curves})


def open_sequences(data_root: str | os.PathLike[str], scale: str) -> UavdtRoot:
    """All of UAVDT for scale ``paper``; for ``mini`` what is there, or else the shapes world's, written there.

    The ground truth is read: a dry run refuses what a run would, but for frames that do not decode.
    """
    if scale == "mini" and not any((Path(data_root) / name).is_dir() for name in ("uavdt", "UAV-benchmark-M")):
        shapes.write_uavdt(data_root)
    data = open_uavdt(data_root, whole=scale == "paper")
    require_sound_truth(data)
    return data


TASKS = (Uavdt(),)
