"""Published segmentation sets as they are unpacked, and how their labels become 0..C-1 with 255 for void."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.errors import InputError
from benchmarks.files import read_json, require_file, require_folder
from benchmarks.listing import list_images
from benchmarks.segmentation.class_list import read_classes
from benchmarks.segmentation.dataset import CAMVID_CLASSES
from benchmarks.segmentation.faults import VOID

VOC_CLASSES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable",
    "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
#: Cityscapes' evaluated classes by the id in ``labelIds``.
CITYSCAPES = {
    7: "road", 8: "sidewalk", 11: "building", 12: "wall", 13: "fence", 17: "pole", 19: "traffic light",
    20: "traffic sign", 21: "vegetation", 22: "terrain", 23: "sky", 24: "person", 25: "rider", 26: "car", 27: "truck",
    28: "bus", 31: "train", 32: "motorcycle", 33: "bicycle",
}  # fmt: skip

#: (name, image, label map)
Triple = tuple[str, Path, Path]


@dataclass(frozen=True)
class Source:
    """A set to be prepared. ``table[label]`` is a file's label in ours; -1: no label of this set."""

    name: str
    classes: tuple[str, ...]
    splits: dict[str, list[Triple]]
    table: np.ndarray
    official: dict[str, int] = field(default_factory=dict)
    remark: str = ""


def _table(mapping: dict[int, int]) -> np.ndarray:
    table = np.full(VOID + 1, -1)
    for label, own in mapping.items():
        table[label] = own
    return table


def _same(classes: int) -> np.ndarray:
    return _table({**{label: label for label in range(classes)}, VOID: VOID})


def _paired(images: Path, masks: Path, ending: str = "", other: str = "") -> list[Triple]:
    """Every image with the label map of its name; ``ending`` of the image's stem becomes ``other``."""
    found = []
    for name in list_images(require_folder(images, "images")):
        stem = name.rpartition(".")[0]
        if ending and not stem.endswith(ending):
            continue
        stem = stem[: len(stem) - len(ending)]
        found.append((stem, images / name, masks / f"{stem}{other}.png"))
    return found


def ade20k(folder: Path) -> Source:
    """``ADEChallengeData2016``: 150 classes, 0 is void."""
    root = folder / "ADEChallengeData2016" if (folder / "ADEChallengeData2016").is_dir() else folder
    lines = require_file(root / "objectInfo150.txt", "class list").read_text(encoding="utf-8").splitlines()[1:]
    classes = tuple(line.split("\t")[-1].split(",")[0].strip() for line in lines if line.strip())
    splits = {
        own: _paired(root / "images" / split, root / "annotations" / split)
        for own, split in (("train", "training"), ("val", "validation"))
    }
    table = _table({0: VOID, **{label + 1: label for label in range(len(classes))}})
    return Source("ade20k", _apart(classes), splits, table, {"train": 20_210, "val": 2_000})


def voc(folder: Path) -> Source:
    """Pascal VOC 2012, with SBD's further training images where ``SegmentationClassAug`` and ``trainaug.txt`` are."""
    root = next((p for p in (folder / "VOCdevkit" / "VOC2012", folder / "VOC2012", folder) if p.is_dir()), folder)
    images = root / "JPEGImages" if (root / "JPEGImages").is_dir() else root / "images"
    lists = root / "ImageSets" / "Segmentation" if (root / "ImageSets").is_dir() else root / "sets"
    aug = (root / "SegmentationClassAug").is_dir() and (lists / "trainaug.txt").is_file()
    splits = {}
    for own, listed, maps in (
        ("train", "trainaug", "SegmentationClassAug") if aug else ("train", "train", "SegmentationClass"),
        ("val", "val", "SegmentationClass"),
    ):
        text = require_file(lists / f"{listed}.txt", "list of images").read_text(encoding="utf-8")
        splits[own] = [(name, images / f"{name}.jpg", root / maps / f"{name}.png") for name in text.split()]
    remark = "with SBD's images (trainaug)" if aug else "no SegmentationClassAug and trainaug.txt: train alone"
    return Source("voc", VOC_CLASSES, splits, _same(21), {"train": 10_582 if aug else 1_464, "val": 1_449}, remark)


def cityscapes(folder: Path) -> Source:
    """Cityscapes' fine annotations: 19 of the 34 ids, the others void."""
    splits = {
        split: _paired(folder / "leftImg8bit" / split, folder / "gtFine" / split, "_leftImg8bit", "_gtFine_labelIds")
        for split in ("train", "val")
    }
    table = _table({label: VOID for label in range(34)} | {VOID: VOID})
    for index, label in enumerate(CITYSCAPES):
        table[label] = index
    return Source("cityscapes", tuple(CITYSCAPES.values()), splits, table, {"train": 2_975, "val": 500})


def camvid(folder: Path) -> Source:
    """CamVid as SegNet's tutorial has it (``train``, ``trainannot``, ...): 11 classes, 11 is void."""
    root = folder / "CamVid" if (folder / "CamVid").is_dir() else folder
    splits = {split: _paired(root / split, root / f"{split}annot") for split in ("train", "val")}
    return Source("camvid", CAMVID_CLASSES, splits, _table({i: i for i in range(11)} | {11: VOID, VOID: VOID}))


def coco_stuff(folder: Path) -> Source:
    """COCO's 15 super-categories of stuff, as open-hummingbird and NeCo have them; things and "other" are void."""
    annotations = folder / "annotations" / "stuff_annotations"
    categories = read_json(annotations / "stuff_val2017.json", "stuff annotations")["categories"]
    names = sorted({one["supercategory"] for one in categories} - {"other"})
    mapping = {one["id"]: names.index(one["supercategory"]) for one in categories if one["supercategory"] != "other"}
    mapping |= {one["id"]: VOID for one in categories if one["supercategory"] == "other"} | {0: VOID}
    splits = {
        split: _paired(folder / "images" / f"{split}2017", annotations / f"stuff_{split}2017_pixelmaps")
        for split in ("train", "val")
    }
    return Source("coco-stuff", tuple(names), splits, _table(mapping), {"train": 118_287, "val": 5_000})


def coco_things(folder: Path) -> Source:
    """COCO's 12 super-categories of things from panoptic label maps of categories; everything else is void."""
    file = folder / "annotations" / "panoptic_annotations" / "panoptic_val2017.json"
    categories = [one for one in read_json(file, "panoptic annotations")["categories"] if one["isthing"]]
    names = sorted({one["supercategory"] for one in categories})
    mapping = {label: VOID for label in range(VOID + 1)}
    mapping |= {one["id"]: names.index(one["supercategory"]) for one in categories}
    splits = {
        split: _paired(folder / "images" / f"{split}2017", folder / "annotations" / f"{split}2017")
        for split in ("train", "val")
    }
    return Source("coco-things", tuple(names), splits, _table(mapping), {"train": 118_287, "val": 5_000})


def own_folder(folder: Path) -> Source:
    """``images/`` and ``masks/`` without splits, and ``classes.txt``: every fifth image, by name, is for validation."""
    names = read_classes(folder / "classes.txt")
    pairs = _paired(folder / "images", folder / "masks")
    if len(pairs) < 2:
        raise InputError(f"{folder}/images has {len(pairs)} images: a training and a validation part need 2 or more")
    held = set(range(4, len(pairs), 5)) or {len(pairs) - 1}
    splits = {
        "train": [pair for place, pair in enumerate(pairs) if place not in held],
        "val": [pairs[place] for place in sorted(held)],
    }
    return Source("", names, splits, _same(len(names)), remark="every fifth image by name is for validation")


#: What ``tools/prepare_data.py segmentation --layout`` knows.
LAYOUTS: dict[str, Callable[[Path], Source]] = {
    "ade20k": ade20k,
    "voc": voc,
    "cityscapes": cityscapes,
    "coco-stuff": coco_stuff,
    "coco-things": coco_things,
    "camvid": camvid,
    "folder": own_folder,
}


def _apart(names: tuple[str, ...]) -> tuple[str, ...]:
    """Names of which some are the same (ADE20K has two screens) with their label behind those."""
    return tuple(f"{name} {i}" if names.count(name) > 1 else name for i, name in enumerate(names))
