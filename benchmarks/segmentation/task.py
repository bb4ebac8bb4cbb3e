"""Frozen segmentation as tasks: a classifier on features that nothing trains, each under named protocols."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np

from benchmarks.core.data import Fingerprint
from benchmarks.core.model import Model
from benchmarks.core.settings import fields_with_help
from benchmarks.core.task import Launch, Outcome, Place, Plan, Task
from benchmarks.files import read_json, write_json
from benchmarks.segmentation import protocols
from benchmarks.segmentation.dataset import SegmentationData, open_segmentation
from benchmarks.segmentation.judge import Frozen, Judged, by_knn, by_retrieval, by_ridge
from benchmarks.segmentation.judge_linear import by_linear
from benchmarks.segmentation.settings import (
    DataSettings,
    KnnSettings,
    LinearSettings,
    RetrievalSettings,
    RidgeSettings,
)
from benchmarks.segmentation.subsets import subset

S = TypeVar("S", bound=DataSettings)

#: What protocols with ``void="published"`` do on each data set; see :class:`protocols.Retrieval`.
PUBLISHED_VOID = {"ade20k": "own", "voc": "first", "cityscapes": "first", "coco-stuff": "first", "coco-things": "first"}


class Segmentation(Task[S, SegmentationData]):
    """One classifier on frozen features."""

    benchmark = "segmentation"
    data = "images and label maps of your own or prepared ones, segmentation/"
    columns = (("mIoU", "mIoU", 1.0), ("aAcc", "aAcc", 1.0))
    by_scale: ClassVar[Mapping[str, Any]]
    named: Mapping[str, Any]
    judge: Callable[..., Judged]

    def settings(self, scale: str) -> S:
        """The protocol's, or for ``mini`` fewer tokens and steps."""
        return self.by_scale[scale]

    def open(self, data_root: Path, scale: str, settings: S) -> SegmentationData:
        """The data set, checked, with the training images that the settings choose."""
        return subset(open_segmentation(data_root, scale, settings.dataset), settings)

    def fingerprint(self, data: SegmentationData) -> Fingerprint:
        """Of label maps, class list and images."""
        return data.fingerprint()

    def describe(self, data: SegmentationData, settings: S) -> list[str]:
        """The data, what is odd about it, and the protocol."""
        sizes = f"{len(data.train)} training and {len(data.val)} validation images, {len(data.classes)} classes"
        return [f"data: {data.root}, {sizes}", *data.remarks(), f"protocol: {protocols.resolve(self.named, settings)}"]

    def resolved(self, model: Model, data: SegmentationData, settings: S) -> Any:
        """The protocol with everything in it decided."""
        return protocols.resolve(self.named, settings)

    def plan(self, model: Model, data: SegmentationData, settings: S, scale: str, launch: Launch) -> Plan:
        """The protocol as resolved; other settings than the scale's make it a variant."""
        own, usual = (dataclasses.asdict(one) for one in (settings, self.settings(scale)))
        names = [f.name for f in fields_with_help(type(settings)) if f.name not in ("protocol", "dataset", "workers")]
        variant = "".join(f"-{name}={_short(own[name])}" for name in names if own[name] != usual[name])
        resolved = dataclasses.asdict(self.resolved(model, data, settings))
        name = settings.protocol  # type: ignore[attr-defined]
        return Plan(name, {"protocol": resolved, "classes": list(data.classes)}, variant)

    def run(self, model: Model, data: SegmentationData, settings: S, scale: str, place: Place) -> Outcome:
        """Judge; examples, the confusion matrix and each image's counts stay in the folder."""
        start, protocol = time.monotonic(), self.resolved(model, data, settings)
        layers = getattr(protocol, "layers", (-1,))
        network = Frozen.of(model, place.device, place.progress, protocol.norm, None if layers == (-1,) else layers)
        judged = self.judged(network, data, protocol, settings, place)
        judged.examples.end()
        rule = {
            "absent": getattr(protocol, "absent_classes", "out"),
            "void": getattr(protocol, "void_predicted", "class" if getattr(protocol, "void", "") == "own" else "out"),
            "matching": getattr(protocol, "matching", "none"),
        }
        found = judged.score.result(**rule)
        metrics = dict(found["metrics"])
        if rule != {"absent": "out", "void": "out", "matching": "none"}:
            metrics["mIoU_plain"] = judged.score.result()["metrics"]["mIoU"]
        for name, score in judged.more.items():
            metrics[name] = score.result(**rule)["metrics"]
        write_json(place.folder / "metrics.json", metrics)
        np.savez_compressed(
            place.folder / "counts.npz", confusion=judged.score.confusion, per_image=np.stack(judged.score.per_image)
        )
        run = {
            "dataset": data.name or data.root.name,
            "protocol": dataclasses.asdict(protocol),
            "scoring": rule,
            "classes": list(data.classes),
            "classes_from": data.classes_from,
            "remarks": data.remarks(),
            "train_images": len(data.train),
            "val_images": len(data.val),
            **judged.facts,
            **found["run"],
            "seconds": round(time.monotonic() - start, 3),
        }
        return Outcome(metrics, run, found["interval"])

    def judged(self, network: Frozen, data: SegmentationData, protocol: Any, settings: S, place: Place) -> Judged:
        """The score itself."""
        return type(self).judge(network, data, protocol, place.folder, place.seed)

    def draw(self, data: SegmentationData, settings: S, runs: Mapping[str, Path], pictures: Path) -> None:
        """Predictions and principal components of some images, and the IoU of each class."""
        from benchmarks.segmentation.pictures import write_classes, write_predictions

        write_predictions(pictures / f"{self.name}.png", data, runs)
        found = {label: read_json(folder / "metrics.json") for label, folder in runs.items()}
        by_class = {label: {n: v["IoU"] for n, v in one["per_class"].items()} for label, one in found.items()}
        write_classes(pictures / f"{self.name}-classes.png", data.classes, by_class)


def _short(value: Any) -> str:
    """A setting as a part of a file's name."""
    return (
        "+".join(map(str, value))
        if isinstance(value, tuple)
        else Path(str(value)).stem
        if "/" in str(value)
        else str(value)
    )


class RidgeTask(Segmentation[RidgeSettings]):
    """Ridge regression, in closed form."""

    name = "segmentation-ridge"
    title = "Frozen segmentation by ridge regression in closed form (ours)"
    seeded = False
    cost = "minutes: two passes of the images through a frozen network"
    mini_minutes = 0.3
    named = protocols.RIDGE
    by_scale: ClassVar = {"paper": RidgeSettings(), "mini": RidgeSettings(tokens=18)}
    judge = by_ridge


class KnnTask(Segmentation[KnnSettings]):
    """k-NN over patches."""

    name = "segmentation-knn"
    title = "Frozen segmentation by k-NN and logistic regression over patches (CAPI)"
    cost = "under an hour of one GPU on ADE20K; the logistic regression takes most of it"
    mini_minutes = 0.5
    named = protocols.KNN
    by_scale: ClassVar = {"paper": KnnSettings(), "mini": KnnSettings(tokens=14, logistic=False)}
    judge = by_knn


class RetrievalTask(Segmentation[RetrievalSettings]):
    """Retrieved patches."""

    name = "segmentation-retrieval"
    title = "Frozen segmentation by retrieved patches (Hummingbird)"
    cost = "an hour or two of one GPU with a memory of ten million patches"
    mini_minutes = 0.4
    named = protocols.RETRIEVAL
    by_scale: ClassVar = {"paper": RetrievalSettings(), "mini": RetrievalSettings(tokens=14, memory=20_480, epochs=1)}
    judge = by_retrieval

    def resolved(self, model: Model, data: SegmentationData, settings: RetrievalSettings) -> protocols.Retrieval:
        """What void pixels are, on this data set."""
        protocol = protocols.resolve(self.named, settings)
        void = PUBLISHED_VOID.get(data.name, "out") if protocol.void == "published" else protocol.void
        return dataclasses.replace(protocol, void=void)


class LinearTask(Segmentation[LinearSettings]):
    """One linear layer, trained."""

    name = "segmentation-linear"
    title = "Frozen segmentation by a linear layer (DINOv3's, DINOv2's, NeCo's, iBOT's protocol)"
    cost = "hours of one GPU: 40,000 steps of 16 crops of 512 pixels through a frozen network"
    mini_minutes = 1.0
    named = protocols.LINEAR
    by_scale: ClassVar = {"paper": LinearSettings(), "mini": LinearSettings(tokens=14, iterations=250, batch=8)}

    def resolved(self, model: Model, data: SegmentationData, settings: LinearSettings) -> protocols.Linear:
        """The learning rate of this network's width, the length of NeCo's epochs, a warm-up of a tenth at most."""
        protocol = protocols.resolve(self.named, settings)
        if settings.learning_rate is None:
            width = getattr(model.card.architecture, "embed_dim", 0)
            protocol = dataclasses.replace(
                protocol, learning_rate=dict(protocol.rates).get(width, protocol.learning_rate)
            )
        if not protocol.iterations:
            steps = protocols.NECO_EPOCHS * max(1, len(data.train) // protocol.batch)
            protocol = dataclasses.replace(protocol, iterations=steps)
        return dataclasses.replace(protocol, warmup=min(protocol.warmup, protocol.iterations // 10))

    def judged(
        self, network: Frozen, data: SegmentationData, protocol: Any, settings: LinearSettings, place: Place
    ) -> Judged:
        """The score itself."""
        return by_linear(network, data, protocol, place.folder, place.seed, settings.workers)


TASKS: tuple[Task[Any, Any], ...] = (RidgeTask(), LinearTask(), KnnTask(), RetrievalTask())
