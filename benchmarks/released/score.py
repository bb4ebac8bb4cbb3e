"""A fine-tuned file on validation data: rebuilt in the house's engines with every tensor in its place, and scored."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.ade20k.dataset import Ade20kRoot
from benchmarks.ade20k.intervals import interval
from benchmarks.ade20k.run import data_changes as ade20k_changes
from benchmarks.ade20k.scoring import count_folder, scores
from benchmarks.backbones.global_blocks import global_blocks
from benchmarks.backbones.pyramid import default_taps
from benchmarks.checkpoints.canonical import write_canonical
from benchmarks.checkpoints.card import Card
from benchmarks.coco.dataset import OFFICIAL, CocoRoot
from benchmarks.coco.intervals import score_with_interval
from benchmarks.coco.run import data_changes as coco_changes
from benchmarks.coco.run import model_changes
from benchmarks.configs import third_party_configs
from benchmarks.core.attribution import Attribution
from benchmarks.core.data import Fingerprint
from benchmarks.core.model import Model
from benchmarks.core.result import Result, free_result
from benchmarks.engines import mmdet, mmseg
from benchmarks.errors import InputError
from benchmarks.files import write_json
from benchmarks.released.facts import Fact, classes_of, heads_of, taps_of, windows_of
from benchmarks.released.layouts import Layout, architecture_of, house_names, layout_of
from benchmarks.released.reading import FineTuned

#: Detector -> its config, the records' benchmark, and the tensor whose rows count classes (how many more there are).
CONFIGS = {
    "mask-rcnn-fpn": third_party_configs("mmdet") / "mask_rcnn_vit_fpn_1x_coco.py",
    "vitdet": third_party_configs("mmdet") / "mask_rcnn_vitdet_b16_relpos_100ep_coco.py",
    "semantic-fpn": third_party_configs("mmseg") / "semantic_fpn_released.py",
}
CLASSES = {
    "mask-rcnn-fpn": ("roi_head.bbox_head.fc_cls.weight", 1),
    "vitdet": ("roi_head.bbox_head.fc_cls.weight", 1),
    "semantic-fpn": ("decode_head.conv_seg.weight", 0),
}
BENCHMARKS = {"mask-rcnn-fpn": "coco-detector", "vitdet": "coco-detector", "semantic-fpn": "ade20k-segmenter"}
#: Images of ADE20K's validation set, and its classes.
ADE20K_IMAGES, ADE20K_CLASSES = 2_000, 150


@dataclass(frozen=True)
class Read:
    """A file understood: its layout, the network's card, tensors and sources by the house's names, facts by name."""

    file: FineTuned
    layout: Layout
    card: Card
    tensors: Mapping[str, torch.Tensor]
    sources: Mapping[str, str]
    facts: Mapping[str, Fact]
    changes: Mapping[str, Any]  # config keys that these facts set

    @property
    def backbone(self) -> dict[str, torch.Tensor]:
        """The ViT's own tensors, without relative positions."""
        start = self.layout.network
        own = {n.removeprefix(start): t for n, t in self.tensors.items() if n.startswith(start)}
        return {name: tensor.float() for name, tensor in own.items() if ".rel_pos_" not in name}


def understand(file: FineTuned, heads: int | None = None) -> Read:
    """What a file is; :class:`InputError` where it is of no layout known here or is incomplete."""
    where = str(file.path)
    layout = layout_of(file.tensors, where)
    sources = house_names(layout, file.tensors, where)
    tensors = {name: file.tensors[source] for name, source in sources.items()}
    start = layout.network
    network = {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}
    facts = {"heads": heads_of(file, layout, heads)}
    architecture = architecture_of(layout, network, int(str(facts["heads"].value)), where)
    changes: dict[str, Any] = {}
    if layout.detector == "vitdet":
        windows = windows_of(network, architecture, global_blocks(architecture.depth), where)
        changes = {"model.backbone.relative_positions": bool(windows)}
        if windows:
            changes["model.backbone.window"] = windows["window"]
            changes["model.backbone.image_size"] = windows["image_size"]
        facts |= {name: Fact(value, "file") for name, value in windows.items()}
    else:
        usual = default_taps(architecture.depth) if layout.detector == "mask-rcnn-fpn" else layout.taps
        facts["taps"] = taps_of(file, layout, usual)
    if layout.detector == "mask-rcnn-fpn":
        changes = {"model.backbone.taps": list(facts["taps"].value)}
    provenance = {"num_heads": facts["heads"].source, "architecture": "inferred", "resize": "table", "eps": "table"}
    note = f"fine-tuned: the backbone inside a {layout.detector} ({layout.name}), no pretraining's"
    card = Card(
        "unknown", architecture, layout.resize, source_name=file.path.name, source_sha256=file.sha256,
        provenance=provenance, notes=(note,),
    )  # fmt: skip
    return Read(file, layout, card, tensors, sources, facts, changes)


def score(
    read: Read,
    data: CocoRoot | Ade20kRoot,
    mark: Fingerprint,
    out: Path,
    name: str,
    attribution: Attribution,
    same_classes: bool = False,
    config: Path | None = None,
    progress: bool = True,
) -> Result:
    """Score a file on validation data and write the record into ``out/records``; detections or label maps stay too.

    ``config`` replaces the published detector's (for another size); then, and on data that is not the whole validation
    set, the record is of scale ``mini``.
    """
    started = datetime.datetime.now(datetime.timezone.utc)
    detector, heads = read.layout.detector, read.card.architecture.num_heads  # type: ignore[union-attr]
    tensor, more = CLASSES[detector]
    if tensor not in read.tensors:
        raise InputError(f"{read.file.path} has no {tensor}: it is no whole {read.layout.name}")
    number = int(read.tensors[tensor].shape[0]) - more
    file, official = _named_alike(read.file, data)
    classes = classes_of(file, number, data.classes, official, same_classes)
    folder = out / f"{name}-{heads}heads"
    folder.mkdir(parents=True, exist_ok=True)
    canonical = folder / "backbone.safetensors"
    write_canonical(canonical, read.backbone, read.card)
    judge: Callable[..., dict[str, Any]] = _segments if isinstance(data, Ade20kRoot) else _detects
    found = judge(read, data, folder, canonical, config or CONFIGS[detector], progress)
    facts = {**read.facts, "classes": classes}
    run = {
        "layout": read.layout.name,
        "detector": detector,
        "fine-tuned": True,
        "heads": heads,
        "facts": {key: {"value": fact.value, "source": fact.source} for key, fact in facts.items()},
        "config": (config or CONFIGS[detector]).name,
        **found["run"],
    }
    model = Model(f"{name}-{heads}heads", read.card, read.file.sha256, attribution=attribution)
    device = mmdet.device_name()
    result = free_result(
        model, BENCHMARKS[detector], f"{detector}, released, {heads} heads", found["metrics"], run, mark.to_dict(), 0,
        started, "cpu" if device == "cpu" else "cuda",
    )  # fmt: skip
    whole = config is None and found["images"] == (OFFICIAL["val"] if isinstance(data, CocoRoot) else ADE20K_IMAGES)
    result = replace(
        result, scale="paper" if whole else "mini", interval=dict(found["interval"]), artefacts=folder.name
    )
    result.write(out / "records")
    return result


def _named_alike(file: FineTuned, data: CocoRoot | Ade20kRoot) -> tuple[FineTuned, tuple[str, ...]]:
    """The file with its classes in the data's spelling, and the published classes in their order."""
    if isinstance(data, CocoRoot):
        return file, mmdet.coco_classes()
    official = data.classes if data.first_label == 1 and len(data.classes) == ADE20K_CLASSES else ()
    if official and file.classes == mmseg.ade20k_classes():
        file = replace(file, classes=official)
    return file, official


def _detects(read: Read, data: CocoRoot, folder: Path, canonical: Path, config: Path, progress: bool) -> dict[str, Any]:
    from benchmarks.engines.trained import build, load

    experiment = mmdet.read_config(config)
    size = experiment["model"]["backbone"].get("image_size")
    own = read.changes.get("model.backbone.image_size", size)
    if size != own:
        raise InputError(f"{read.file.path} is for images of {own} pixels, and {config.name} has {size}")
    changes = {
        **coco_changes(data, folder),
        **model_changes(experiment["model"], read.card.architecture),
        **read.changes,
        "model.backbone.num_heads": None,
    }
    runner = build(config, canonical, folder, changes, progress)
    load(runner.model, read.tensors, read.sources, str(read.file.path))
    detections = data.own_ids(mmdet.detect(runner, runner.cfg.detect_dataloader, progress))
    write_json(folder / "detections.json", detections)
    found = score_with_interval(data.annotations("val"), detections)
    return {**found, "images": data.val_images, "run": {"val_images": data.val_images, "detections": len(detections)}}


def _segments(
    read: Read, data: Ade20kRoot, folder: Path, canonical: Path, config: Path, progress: bool
) -> dict[str, Any]:
    from benchmarks.engines.mmseg_backbone import segmentation_taps
    from benchmarks.engines.trained import build, load

    width, depth = read.card.architecture.embed_dim, read.card.architecture.depth  # type: ignore[union-attr]
    if tuple(read.facts["taps"].value) != segmentation_taps(depth):
        raise InputError(f"{read.file.path} taps {read.facts['taps'].value}, here are {segmentation_taps(depth)}")
    changes = {
        **ade20k_changes(data, folder),
        "model.neck.in_channels": [width] * 4,
        # As the program: patches beyond the edge are filled up inside the network, and its map is the image's.
        "model.data_preprocessor.test_cfg": {"size_divisor": 1},
    }
    runner = build(config, canonical, folder, changes, progress)
    load(runner.model, read.tensors, read.sources, str(read.file.path))
    mmseg.test(runner)
    per_image = count_folder(data, folder / "predictions")
    images = len(data.stems["validation"])
    return {
        "metrics": scores(per_image.sum(axis=0), data.classes),
        "interval": interval(per_image),
        "images": images,
        "run": {"val_images": images, "recipe": "released"},
    }
