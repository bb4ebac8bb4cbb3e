"""bbox-aligned k-NN on ImageNet as tasks: for a model, and for one that is pretrained first (Tables 5 and 6)."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import shapes
from benchmarks.core import bootstrap
from benchmarks.core.data import Fingerprint, cache_folder, fingerprint, namer
from benchmarks.core.model import Model, load_model
from benchmarks.core.settings import option
from benchmarks.core.task import Launch, Outcome, Place, Plan, Task
from benchmarks.errors import InputError
from benchmarks.files import write_json
from benchmarks.knn.dataset import Split, find_root, image_folder, read_split, remarks
from benchmarks.knn.geometry import check_protocol
from benchmarks.knn.pretraining import CONFIG, Pretraining, resolved
from benchmarks.knn.run import KS, evaluate
from benchmarks.listing import list_folders

CLASSES = 1000

#: Raise it when what identifies the data changes its meaning.
IDENTITY_VERSION = 1


@dataclass(frozen=True)
class Settings:
    """What decides an accuracy."""

    protocol: str = option("corrected", "of the published program, or corrected", ("official", "corrected"))
    dtype: str = option("fp32", "what training features are kept in", ("fp32", "fp16"))
    ks: tuple[int, ...] = KS


@dataclass(frozen=True)
class BoxedImageNet:
    """Both splits of ILSVRC with their boxes."""

    root: Path
    splits: dict[str, Split]


class Knn(Task[Settings, BoxedImageNet]):
    """The metric of Tables 5 and 6 for a model that is there."""

    name = "knn"
    benchmark = "knn"
    title = "bbox-aligned k-NN on ImageNet"
    seeded = False
    data = "ImageNet (ILSVRC) with box files, imagenet/"
    cost = "hours on a GPU: 0.6 million images through a frozen network and an exact search"
    mini_minutes = 0.1
    columns = (("k-NN top-1", "top1.20", 1.0), ("joint vote", "single_vote.20", 1.0))

    def settings(self, scale: str) -> Settings:
        """The same at every scale."""
        return Settings()

    def open(self, data_root: Path, scale: str, settings: Settings) -> BoxedImageNet:
        """Both splits; for scale ``mini`` what is there, or the shapes world's, written there."""
        return open_imagenet(data_root, scale)

    def fingerprint(self, data: BoxedImageNet) -> Fingerprint:
        """Of the boxes and of the images that have some; kept by what tells that no file has changed."""
        mark = " ".join((data.root.name, *(split.fingerprint for split in data.splits.values())))
        kept = index_folder() / f"identity-{IDENTITY_VERSION}-{hashlib.sha256(mark.encode()).hexdigest()[:20]}.json"
        with contextlib.suppress(OSError, ValueError, TypeError):
            return Fingerprint(**json.loads(kept.read_text(encoding="utf-8")))
        images = [image for split in data.splits.values() for image in split.images]
        name = namer(data.root)
        boxes = (f"{name(i.path)} {i.size} {i.boxes} {i.names}" for i in images)
        found = fingerprint(data.root, (), [image.path for image in images], boxes)
        with contextlib.suppress(OSError, InputError):  # a place that cannot be written costs time, not the result
            write_json(kept, found.to_dict())
        return found

    def describe(self, data: BoxedImageNet, settings: Settings) -> list[str]:
        """How many images."""
        counts = ", ".join(f"{split.facts.images:,} {name} images with boxes" for name, split in data.splits.items())
        return [f"data: {data.root}, {counts}", *remarks(data.splits)]

    def suit(self, model: Model, settings: Settings, scale: str) -> None:
        """:class:`InputError` where the protocol does not know the patch size."""
        check_protocol(settings.protocol, model.patch_size)

    def plan(self, model: Model, data: BoxedImageNet, settings: Settings, scale: str, launch: Launch) -> Plan:
        """The protocol."""
        self.suit(model, settings, scale)
        return Plan(settings.protocol)

    def run(self, model: Model, data: BoxedImageNet, settings: Settings, scale: str, place: Place) -> Outcome:
        """Features of both splits, the search and the votes."""
        return judge(model, data, settings, place)


@dataclass(frozen=True)
class PretrainedSettings:
    """A pretraining and how its checkpoint is judged."""

    pretraining: Pretraining = field(default=Pretraining(), metadata={"launch": True})  # what it resolves to decides
    protocol: str = "official"
    ks: tuple[int, ...] = KS


class PretrainedKnn(Task[PretrainedSettings, BoxedImageNet]):
    """The paper's ablations: pretrain FLSL with a setting, then judge it; what is given is judged alone."""

    name = "knn-of-pretraining"
    benchmark = "knn"
    title = "FLSL pretrained with one setting, then bbox-aligned k-NN"
    data = Knn.data
    cost = "224 GPU-hours a setting (FLSL's README: 300 epochs in 3.5 days on 8 cards; a third of it)"
    mini_minutes = 0.8
    shared_by = "itself"
    columns = Knn.columns
    free = ("pretraining.config", "pretraining.overrides", "protocol")  # a table's settings and what fits its patches

    def settings(self, scale: str) -> PretrainedSettings:
        """ViT-S/16 for 100 epochs; or the small configuration."""
        if scale == "paper":
            # The paper's figures are the published program's, which knows patch 16 only.
            return PretrainedSettings(Pretraining(CONFIG["paper"].stem, 100, batch=512), "official")
        return PretrainedSettings(Pretraining(CONFIG["mini"].stem, 4), "corrected")

    def open(self, data_root: Path, scale: str, settings: PretrainedSettings) -> BoxedImageNet:
        """As k-NN's; pretraining reads ``train/``, of which scale ``paper`` takes all classes."""
        data = open_imagenet(data_root, scale)
        train = image_folder(data.root, "train")
        classes = len(list_folders(train))
        if scale == "paper" and classes != CLASSES:
            raise InputError(
                f"{train} has {classes} classes instead of {CLASSES}: complete it, or ask for --scale mini"
            )
        return data

    def fingerprint(self, data: BoxedImageNet) -> Fingerprint:
        """As k-NN's."""
        return Knn().fingerprint(data)

    def describe(self, data: BoxedImageNet, settings: PretrainedSettings) -> list[str]:
        """The data and the length."""
        own = settings.pretraining
        return [f"data: {data.root}", f"pretraining: {own.config}, {own.epochs} epochs a setting"]

    def plan(
        self, model: Model | None, data: BoxedImageNet, settings: PretrainedSettings, scale: str, launch: Launch
    ) -> Plan:
        """The whole configuration of the pretraining decides, however its setting is called."""
        own = settings.pretraining
        if model is not None:
            check_protocol(settings.protocol, model.patch_size)
            return Plan(settings.protocol, details=(f"given: {model.checkpoint}",))
        if own.batch and own.batch % launch.devices:
            raise InputError(
                f"a batch of {own.batch} images does not divide over {launch.devices} GPUs: use 1, 2, 4, 8"
            )
        return Plan(settings.protocol, {"pretraining": resolved(own)})

    def require(self, scale: str, device: str) -> None:
        """A GPU for scale paper."""
        if scale == "paper" and self.device(device) == "cpu":
            raise InputError("pretraining at scale paper needs a GPU: --scale mini and --dry-run do without")

    def run(
        self, model: Model | None, data: BoxedImageNet, settings: PretrainedSettings, scale: str, place: Place
    ) -> Outcome:
        """Pretrain in the folder, or go on with it, and score."""
        own = settings.pretraining
        if model is None:
            model = load_model(own.run(image_folder(data.root, "train"), place), name=place.folder.name)
        found = judge(model, data, Settings(settings.protocol, ks=settings.ks), place)
        facts = {**found.run, "pretraining": resolved(own), "overrides": list(own.overrides)}
        return Outcome(found.metrics, facts, found.interval, model)


def judge(model: Model, data: BoxedImageNet, settings: Settings, place: Place) -> Outcome:
    """Accuracies with their interval; pictures of votes go into the folder."""
    ks = [k for k in settings.ks if k <= 9 * data.splits["train"].facts.images]
    run = evaluate(
        model, data.root, settings.protocol, ks, place.device, progress=place.progress, dtype=settings.dtype,
        cache=index_folder(), pictures=place.folder / "pictures",
    )  # fmt: skip
    metrics: dict[str, Any] = {name: run.pop(name) for name in ("top1", "top5", "single_vote")}
    shares = {f"{name}/{k}": metrics[name][str(k)] for name in ("top1", "single_vote") for k in ks}
    return Outcome(metrics, run, bootstrap.of_share("images", run["val_images"], shares))


def index_folder() -> Path:
    """Where the lists of boxes are kept: half a million box files take minutes to read."""
    return cache_folder() / "boxes"


def open_imagenet(data_root: str | os.PathLike[str], scale: str = "paper") -> BoxedImageNet:
    """Both splits with their boxes; the list is kept between commands."""
    if scale == "mini" and not any((Path(data_root) / name).is_dir() for name in ("imagenet", "train", "ILSVRC")):
        shapes.write_world(data_root, "demo", sets=("imagenet",))
    root = find_root(data_root)
    splits = {name: read_split(root, name, cache=index_folder()) for name in ("train", "val")}
    remarks(splits)  # nothing to be judged: refused before anything is computed
    return BoxedImageNet(root, splits)


TASKS = (Knn(), PretrainedKnn())
