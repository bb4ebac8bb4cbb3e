"""Faster R-CNN on VisDrone-DET as a task: Table 3's detector, under another official score."""

from __future__ import annotations

from pathlib import Path

from benchmarks import shapes
from benchmarks.core.data import Fingerprint, fingerprint
from benchmarks.core.model import Model
from benchmarks.core.task import Outcome, Place
from benchmarks.processes import is_first_process
from benchmarks.uavdt.aerial import AerialDetection
from benchmarks.visdrone.dataset import TOTAL, VisdroneRoot, check_split, open_visdrone, split_folder
from benchmarks.visdrone.evaluation import PROTOCOL
from benchmarks.visdrone.options import SCALES, Options
from benchmarks.visdrone.run import CONFIG, run


class Visdrone(AerialDetection[Options, VisdroneRoot]):
    """The toolkit's average precision on the validation pictures."""

    name = "visdrone-faster-rcnn"
    benchmark = "visdrone"
    protocol, configs = PROTOCOL, CONFIG
    title = "Faster R-CNN FPN on VisDrone-DET, AP over IoU 0.5:0.95 by the toolkit's rule"
    needs = "weights"
    engine = "mmdet"
    data = "VisDrone2019-DET train and val, visdrone/"
    cost = "GPU-hours: none published; 9,700 steps of 8 pictures"
    mini_minutes = 4.2
    shared_by = "processes"
    columns = (("AP", "AP", 1.0), ("AP50", "AP50", 1.0))

    def settings(self, scale: str) -> Options:
        """UAVDT's, but for what the score decides."""
        return SCALES[scale]

    def open(self, data_root: Path, scale: str, settings: Options) -> VisdroneRoot:
        """All of train and val for scale ``paper``; for ``mini`` what is there, or the shapes world's, written there.

        Every annotation is read: training begins on no file that the score would refuse.
        """
        root = Path(data_root)
        if scale == "mini" and not (root / "visdrone").is_dir() and not any(split_folder(root, s) for s in TOTAL):
            shapes.write_visdrone(root)
        data = open_visdrone(root, whole=scale == "paper")
        for split in (data.train, data.val):
            check_split(split)
        return data

    def fingerprint(self, data: VisdroneRoot) -> Fingerprint:
        """Of annotations and pictures of both splits."""
        splits = (data.train, data.val)
        texts = [split.annotations[name] for split in splits for name in split.names]
        return fingerprint(data.path, texts, [path for split in splits for path in split.images.values()])

    def describe(self, data: VisdroneRoot, settings: Options) -> list[str]:
        """Data, and every option with its reason."""
        lines = [f"data: {data.path}, {len(data.train.names)} training, {len(data.val.names)} validation pictures"]
        return lines + settings.lines()

    def run(self, model: Model, data: VisdroneRoot, settings: Options, scale: str, place: Place) -> Outcome:
        """Train, detect, score; detections stay in ``detections`` in the folder."""
        how = (place.launch.launcher, place.launch.devices, place.progress and is_first_process())
        found = run(model.weights(self.name), data, place.folder, scale, settings, place.seed, *how)
        return Outcome(found["metrics"], found["run"])


TASKS = (Visdrone(),)
