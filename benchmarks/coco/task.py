"""Mask R-CNN and ViTDet on COCO as tasks, in either engine."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import shapes
from benchmarks.backbones.fine_tuning import fitted
from benchmarks.backbones.patches import fits
from benchmarks.checkpoints.card import Architecture, Card, ResNetArchitecture
from benchmarks.coco import vitdet
from benchmarks.coco.check import require_pictures
from benchmarks.coco.dataset import CocoRoot, open_coco
from benchmarks.coco.engines import Engine, choose
from benchmarks.coco.pictures import write_detections, write_losses
from benchmarks.coco.recipe import resolve
from benchmarks.coco.run import check_fit
from benchmarks.coco.scoring import scorer
from benchmarks.coco.settings import Settings, ViTDetSettings
from benchmarks.core.data import Fingerprint, fingerprint
from benchmarks.core.model import Model
from benchmarks.core.task import Launch, Outcome, Place, Plan, Task
from benchmarks.engines.adaptation import Adaptation, has_stages, keeps_prefix, require_any_size
from benchmarks.engines.identity import resolved_config
from benchmarks.engines.schedule import Schedule
from benchmarks.errors import InputError
from benchmarks.files import read_json
from benchmarks.processes import is_first_process

#: How much of the shapes world scale mini renders where there is no data: images and their longer side.
MINI_WORLD = {"train_images": 200, "val_images": 40, "size": 160}


class Coco(Task[Settings, CocoRoot]):
    """One detector on COCO; what differs between tasks is which experiment a checkpoint gets."""

    needs = "weights"
    data = "COCO 2017, coco/"
    shared_by = "processes"
    columns = (("box AP", "bbox/AP", 1.0), ("mask AP", "segm/AP", 1.0))
    free: Sequence[str] = ("engine", "variant", "boxes_by")

    def __init__(self, name: str, title: str, cost: str, mini_minutes: float, version: int, frozen: bool | None = None):
        self.name = self.benchmark = name
        self.title, self.cost, self.mini_minutes, self.version = title, cost, mini_minutes, version
        self.frozen, self.frozen_task = frozen, name if frozen else f"{name}-frozen"

    def settings(self, scale: str) -> Settings:
        """The published recipe, or its miniature's."""
        return Settings(frozen=self.frozen)

    def open(self, data_root: Path, scale: str, settings: Settings) -> CocoRoot:
        """All of COCO 2017 for scale ``paper``; for ``mini`` what is there, or the shapes world's, written there."""
        if scale == "mini" and settings.variant:
            raise InputError("the variants of the paper's tables are for --scale paper: leave the flag out for mini")
        scorer(settings.boxes_by)
        return open_whole(data_root, scale)

    def fingerprint(self, data: CocoRoot) -> Fingerprint:
        """Of both annotation files and the images that they list."""
        return fingerprint(data.path, [data.annotations("train"), data.annotations("val")], data.files)

    def describe(self, data: CocoRoot, settings: Settings) -> list[str]:
        """The data."""
        counts = f"{data.train_images} training images, {data.val_images} validation images"
        return [f"data: {data.path}, {counts}", *data.notes]

    def suit(self, model: Model, settings: Settings, scale: str) -> None:
        """A checkpoint of the kind that its config is for, whose patches or stages a pyramid takes."""
        config = self.config(model, settings, scale)
        experiment = choose(settings.engine).read_config(config)
        check_fit(experiment["expects"], model.card.architecture, model.weights(self.name), config.name)
        frozen = settings.frozen or experiment["model"]["backbone"].get("frozen", False)
        require_any_size(model.card.architecture, frozen, self.name)
        fitted(model.card.architecture, settings.patches, model.name)
        self.adapt(model.card, settings, experiment["recipe"], scale)

    def plan(self, model: Model, data: CocoRoot, settings: Settings, scale: str, launch: Launch) -> Plan:
        """The experiment of the checkpoint, its schedule on these devices, and its whole resolved config."""
        choose(settings.engine).require()
        self.suit(model, settings, scale)
        config, experiment, adaptation, schedule = self._resolved(model, data, settings, scale, launch)
        variant = f"-{settings.variant}" if settings.variant else ""
        mini = " (mini)" if scale == "mini" else ""
        return Plan(
            f"{self.name}{variant}, {settings.engine}{mini}",
            {
                "config": resolved_config(experiment),
                "schedule": schedule.deciding(),
                "backbone": adaptation.deciding(),
            },
            variant,
            (config.name, *schedule.lines(), *self.said(model.card, adaptation, scale)),
        )

    def _resolved(
        self, model: Model, data: CocoRoot, settings: Settings, scale: str, launch: Launch
    ) -> tuple[Path, Any, Adaptation, Schedule]:
        engine, config = choose(settings.engine), self.config(model, settings, scale)
        experiment = engine.read_config(config)
        adaptation, recipe = self.adapt(model.card, settings, experiment["recipe"], scale)
        # A plan for GPUs can be made anywhere.
        gpu = scale == "paper" or engine.device_name() != "cpu"
        schedule = resolve(recipe, data.annotated_images, launch.devices, settings.options, gpu)
        return config, experiment, adaptation, schedule

    def foresee(self, model: Model, data: CocoRoot, settings: Settings, scale: str, launch: Launch) -> list[str]:
        """The memory of a pass in mmdet; detectron2's own network keeps other things."""
        if settings.engine != "mmdet":
            return ["memory: not predicted for detectron2, whose own ViT keeps whole matrices of attention"]
        from benchmarks.coco.run import memory

        return memory(
            model.weights(self.name),
            settings.frozen,
            len(data.classes),
            *self._resolved(model, data, settings, scale, launch)[1:],
        )

    def adapt(
        self, card: Card, settings: Settings, recipe: Mapping[str, Any], scale: str
    ) -> tuple[Adaptation, Mapping[str, Any]]:
        """What the backbone is told, and the schedule's recipe, for a checkpoint."""
        return settings.adaptation, recipe

    def said(self, card: Card, adaptation: Adaptation, scale: str) -> list[str]:
        """For people: what is done to a checkpoint."""
        a = card.architecture
        fitting = fitted(a, adaptation.patches, "the checkpoint")
        if fitting is not a:
            return [f"patches of {a.patch_size} pixels resampled to {fitting.patch_size}"]
        return [] if fits(a) else [f"patches of {a.patch_size} pixels: images padded to them, maps resampled"]

    def require(self, scale: str, device: str) -> None:
        """For scale paper a GPU."""
        if scale == "paper" and self.device(device) == "cpu":
            raise InputError("scale paper needs a GPU and torch finds none here: --scale mini and --dry-run do without")

    def run(self, model: Model, data: CocoRoot, settings: Settings, scale: str, place: Place) -> Outcome:
        """Train, detect, score; detections stay in the folder."""
        engine, config = choose(settings.engine), self.config(model, settings, scale)
        recipe = engine.read_config(config)["recipe"]
        found = engine.run(
            model.weights(self.name),
            data,
            place.folder,
            config,
            seed=place.seed,
            progress=place.progress and is_first_process(),
            options=settings.options,
            frozen=settings.frozen,
            launcher=place.launch.launcher,
            devices=place.launch.devices,
            boxes_by=settings.boxes_by,
            adapted=self.adapt(model.card, settings, recipe, scale),
        )
        return Outcome(found["metrics"], found["run"], found["interval"])

    def device(self, asked: str) -> str:
        """The engine's: it takes the GPU by itself."""
        from benchmarks.engines.mmengine_run import device_name

        return device_name()

    def draw(self, data: CocoRoot, settings: Settings, runs: Mapping[str, Path], pictures: Path) -> None:
        """Detections and losses."""
        for label, folder in runs.items():
            found = read_json(folder / "detections.json")
            picture = pictures / f"detections-{label}.png"
            write_detections(picture, data.annotations("val"), data.path / "val2017", found)
        write_losses(pictures / "losses.png", {label: folder / "losses.jsonl" for label, folder in runs.items()})

    def config(self, model: Model, settings: Settings, scale: str) -> Path:
        """The config of a checkpoint's experiment; :class:`InputError` where there is none."""
        architecture = model.card.architecture
        engine: Engine = choose(settings.engine)
        return engine.config(self.experiment(architecture, settings, scale))

    def experiment(self, a: Any, settings: Settings, scale: str) -> str:
        """Table 1's: by the kind and the size of the network."""
        if scale == "mini":
            return "mask_rcnn_vit_fpn_mini"
        if settings.variant:
            return "mask_rcnn_vit_s16_8heads_fpn_1x_coco"
        if isinstance(a, ResNetArchitecture):
            return "mask_rcnn_r50_fpn_1x_coco"
        if not isinstance(a, Architecture):
            return "mask_rcnn_vit_fpn_1x_coco"
        if (a.embed_dim, a.depth, a.num_heads) == (384, 12, 6) and a.patch_size in (8, 16):
            return f"mask_rcnn_vit_s{a.patch_size}_fpn_1x_coco"
        return "mask_rcnn_vit_fpn_1x_coco"


class CocoVitDet(Coco):
    """Table 2's detector."""

    def settings(self, scale: str) -> ViTDetSettings:
        """The recipe of the checkpoint's size, or the miniature's."""
        return ViTDetSettings(frozen=self.frozen)

    def suit(self, model: Model, settings: Settings, scale: str) -> None:
        """A plain ViT of the house, whose attention can be cut into windows."""
        a: Any = model.card.architecture
        if not isinstance(a, Architecture):
            of_stages = "a network of stages, and ViTDet makes its pyramid of one map"
            why = of_stages if has_stages(a) else f"{a.name}, which timm's own class runs without windows"
            raise InputError(f"{model.name} is {why}: coco-mask-rcnn takes it")
        super().suit(model, settings, scale)

    def adapt(
        self, card: Card, settings: Settings, recipe: Mapping[str, Any], scale: str
    ) -> tuple[Adaptation, Mapping[str, Any]]:
        """The recipe of the checkpoint's method or size."""
        a: Any = card.architecture
        if settings.variant and (a.position == "rope" or keeps_prefix(a, settings.adaptation.prefix_tokens)):
            raise InputError("--relative-positions: rotary positions and registers are not for them: leave them out")
        return vitdet.adapted(card, settings.adaptation, recipe, scale == "mini")

    def said(self, card: Card, adaptation: Adaptation, scale: str) -> list[str]:
        """Patches, then the recipe."""
        return [*super().said(card, adaptation, scale), *vitdet.lines(card, adaptation, scale == "mini")]

    def experiment(self, a: Any, settings: Settings, scale: str) -> str:
        """One config, with or without relative positions, and its miniature."""
        relative = "_relpos" if settings.variant else ""
        return "mask_rcnn_vitdet_mini" if scale == "mini" else f"mask_rcnn_vitdet_b16{relative}_100ep_coco"


class CocoVitDetFrozen(CocoVitDet):
    """PE's probe: ViTDet's pyramid and heads on a frozen network without global attention."""

    free = ("variant", "boxes_by")

    def adapt(
        self, card: Card, settings: Settings, recipe: Mapping[str, Any], scale: str
    ) -> tuple[Adaptation, Mapping[str, Any]]:
        """One recipe for all sizes; :class:`InputError` for what it has not."""
        if settings.engine != "mmdet" or settings.variant or settings.frozen is False:
            raise InputError(f"{self.name}: a frozen network without relative positions, by --engine mmdet alone")
        return vitdet.frozen(settings.adaptation, recipe, scale == "mini")


def open_whole(data_root: str | os.PathLike[str], scale: str) -> CocoRoot:
    """What is under ``data_root``; at scale ``paper`` all of COCO 2017, at ``mini`` perhaps the shapes world's."""
    root = Path(data_root)
    if scale == "mini" and not any((folder / "annotations").is_dir() for folder in (root, root / "coco")):
        shapes.write_coco(root, **MINI_WORLD)
    data = open_coco(root)
    if scale == "paper":
        data.require_whole()
    if is_first_process():
        require_pictures(data)
    return data


_1X = "52 GPU-hours for a ResNet-50 (detectron2's model zoo, V100 cards); a ViT takes more"
_100_EPOCHS = "1,030 GPU-hours (detectron2's ViTDet: 184,375 steps of 64 images, 0.314 s an image on an A100 card)"

TASKS: tuple[Task[Any, Any], ...] = (
    Coco("coco-mask-rcnn", "Mask R-CNN FPN on COCO, 1x (Table 1)", _1X, 1.7, 1),
    Coco("coco-mask-rcnn-frozen", "Mask R-CNN FPN on COCO, 1x, with a frozen backbone", _1X, 1.7, 1, frozen=True),
    # 1: in mmdet, heads read channels-last maps scrambled
    CocoVitDet("coco-vitdet", "ViTDet with Mask R-CNN on COCO, 100 epochs (Table 2)", _100_EPOCHS, 2.3, 2),
    CocoVitDetFrozen(
        "coco-vitdet-frozen", "ViTDet's heads on a frozen network on COCO, 15 epochs (PE's probe)",
        "none published; 27,656 steps of 64 images, forward alone in the network", 2.3, 1, frozen=True,
    ),
)  # fmt: skip
