"""Images and label maps, a folder each for ``train`` and ``val``, and a class list: any segmentation data of one's own.

``D/images/{train,val}/NAME.jpg``, ``D/masks/{train,val}/NAME.png`` (one index a pixel; 255 is void: neither trained on
nor scored) and ``D/classes.txt`` (the name of label 0 in the first line). ``tools/prepare_data.py segmentation`` makes
this layout of ADE20K, Pascal VOC, Cityscapes, COCO and CamVid and leaves ``dataset.json`` there, which names the data
set.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import images
from benchmarks.core.data import Fingerprint, cache_folder, fingerprint
from benchmarks.errors import InputError
from benchmarks.files import read_json, require_folder, write_text
from benchmarks.listing import list_images
from benchmarks.segmentation.class_list import read_classes
from benchmarks.segmentation.faults import VOID, Faults
from benchmarks.shapes.writers.segmentation import write_segmentation

SPLITS = ("train", "val")

#: Where the data may lie below a data root, besides the root itself.
PLACES = ("segmentation", "camvid")

#: What the shapes world has for scale ``mini``.
MINI_WORLD = {"train_images": 120, "val_images": 40, "size": 160}

#: CamVid's frames by their names, and its classes in SegNet's order.
_CAMVID = re.compile(r"(0001TP|0006R0|0016E5|Seq05VD)_f?\d+")
CAMVID_CLASSES = tuple(
    ["Sky", "Building", "Pole", "Road", "Pavement", "Tree", "SignSymbol", "Fence", "Car", "Pedestrian", "Bicyclist"]
)


@dataclass(frozen=True)
class Pair:
    """An image with its label map, both ``size`` (height, width), the labels in it and how many pixels each has."""

    name: str  # relative to the split's folder, without extension
    image: Path
    mask: Path
    size: tuple[int, int]
    labels: tuple[int, ...]
    pixels: tuple[int, ...]


@dataclass(frozen=True)
class SegmentationData:
    """A checked data set. ``name`` is that of ``dataset.json``, "" for data of one's own."""

    root: Path
    name: str
    classes: tuple[str, ...]
    classes_from: str
    train: tuple[Pair, ...]
    val: tuple[Pair, ...]

    def fingerprint(self) -> Fingerprint:
        """The content of label maps and class list, the names and sizes of the images."""
        pairs = (*self.train, *self.val)
        lists = [path for name in ("classes.txt", "dataset.json") if (path := self.root / name).is_file()]
        return fingerprint(self.root, [*lists, *(pair.mask for pair in pairs)], [pair.image for pair in pairs])

    def frequencies(self) -> np.ndarray:
        """The share of each class of the training images' pixels that are not void: float ``[C]``."""
        counts = np.zeros(VOID + 1)
        for pair in self.train:
            counts[list(pair.labels)] += pair.pixels
        return counts[: len(self.classes)] / max(1.0, counts[:VOID].sum())

    def remarks(self) -> list[str]:
        """For people: what is odd about the data, though a number can be had."""
        there = {split: {label for pair in getattr(self, split) for label in pair.labels} for split in SPLITS}
        named = list(enumerate(self.classes))
        lines = []
        for text, absent in (
            ("in no training image, so never predicted", [n for i, n in named if i not in there["train"]]),
            ("in no validation image, so without a score", [n for i, n in named if i not in there["val"]]),
        ):
            if absent:
                lines.append(f"{len(absent)} of {len(named)} classes are {text}: {', '.join(absent)}")
        if self.classes_from != "classes.txt":
            lines.append(f"there is no classes.txt: {len(self.classes)} classes by {self.classes_from}")
        if both := {pair.name for pair in self.train} & {pair.name for pair in self.val}:
            lines.append(
                f"{len(both)} names are in train and in val, for instance {min(both)}: are they the same images?"
            )
        return lines


def find_root(data_root: str | os.PathLike[str], dataset: str = "", scale: str = "paper") -> Path:
    """The folder with ``images/`` and ``masks/``: ``data_root/dataset``, or one of :data:`PLACES`, or the root itself.

    For scale ``mini`` the shapes world's is written where there is nothing. :class:`InputError` where there is none.
    """
    top = Path(data_root)
    if scale != "mini" or dataset:
        require_folder(top, "data root")
    places = [top / dataset] if dataset else [*(top / place for place in PLACES), top]
    for place in places:
        if (place / "images").is_dir() and (place / "masks").is_dir():
            return place
    if not dataset and scale == "mini" and not any((top / name).exists() for name in (*PLACES, "images", "masks")):
        return write_segmentation(top, **MINI_WORLD)
    wanted = " or ".join(str(place) for place in places)
    raise InputError(
        f"no segmentation data: {wanted} must hold images/{{train,val}}/ and masks/{{train,val}}/ "
        "(tools/prepare_data.py segmentation makes them)"
    )


def open_segmentation(data_root: str | os.PathLike[str], scale: str = "paper", dataset: str = "") -> SegmentationData:
    """The data under ``data_root``, every pair checked.

    :class:`InputError` tells all faults at once, each kind with its count and first example: images without label map
    and the reverse, files that do not decode, sizes that differ, labels that are no class, a split without a
    label, masks of 0 and 255.
    """
    root = find_root(data_root, dataset, scale)
    about = read_json(root / "dataset.json", "description") if (root / "dataset.json").is_file() else {}
    faults = Faults(root)
    pairs = {split: _pairs(root, split, faults) for split in SPLITS}
    everything = [pair for split in SPLITS for pair in pairs[split]]
    classes, source = _classes(root, everything)
    for pair in everything:
        if wrong := [label for label in pair.labels if label >= len(classes) and label != VOID]:
            hint = " (labels count from 0)" if wrong == [len(classes)] else ""
            faults.add(f"label maps with labels that are none of the {len(classes)} classes{hint}", pair.mask, wrong)
    for split in SPLITS:
        if pairs[split] and not any(label != VOID for pair in pairs[split] for label in pair.labels):
            faults.add("splits in which every pixel is void", root / "masks" / split)
    if not about and {label for pair in pairs["train"] for label in pair.labels} == {0, VOID}:
        hint = "nothing to tell apart: 255 is void; write what is to be found as 1"
        faults.add("training halves of labels 0 and 255 alone", root / "masks" / "train", hint)
    faults.end()
    for split, official in about.get("official", {}).items():
        if scale == "paper" and len(pairs[split]) != official:
            raise InputError(
                f"{root} has {len(pairs[split])} {split} images instead of {about['name']}'s {official}: complete "
                "it, or ask for --scale mini"
            )
    return SegmentationData(root, about.get("name", ""), classes, source, tuple(pairs["train"]), tuple(pairs["val"]))


def _classes(root: Path, pairs: Sequence[Pair]) -> tuple[tuple[str, ...], str]:
    """Class names and what says so."""
    file = root / "classes.txt"
    top = max((label for pair in pairs for label in pair.labels if label != VOID), default=-1)
    if not file.is_file():
        if pairs and top < len(CAMVID_CLASSES) and all(_CAMVID.fullmatch(pair.image.stem) for pair in pairs):
            return CAMVID_CLASSES, "CamVid's names of frames"
        return tuple(map(str, range(top + 1))), "the highest label"
    return read_classes(file), "classes.txt"


def _pairs(root: Path, split: str, faults: Faults) -> list[Pair]:
    folders = {kind: root / kind / split for kind in ("images", "masks")}
    if absent := [folder for folder in folders.values() if not folder.is_dir()]:
        raise InputError(f"{absent[0]} does not exist: {root} needs images/{split}/ and masks/{split}/")
    named = {kind: _by_name(folder, list_images(folder), faults) for kind, folder in folders.items()}
    for name in named["images"].keys() - named["masks"].keys():
        faults.add(f"{split} images without a label map", named["images"][name])
    for name in named["masks"].keys() - named["images"].keys():
        faults.add(f"{split} label maps without an image", named["masks"][name])
    both = sorted(named["images"].keys() & named["masks"].keys())
    if not both:
        raise InputError(
            f"{root} has {len(named['images'])} images and {len(named['masks'])} label maps in {split}/, and no "
            "pair of the same name: an image and its label map share their name up to the extension"
        )
    looks = _Looks(root, split)
    found = []
    for name, look in zip(both, looks.at([(named["images"][n], named["masks"][n]) for n in both]), strict=True):
        image, mask = named["images"][name], named["masks"][name]
        if isinstance(look, str):
            faults.add("files that cannot be read", look)
        elif look["image"] != look["mask"]:
            sizes = [f"{side[1]}x{side[0]}" for side in (look["mask"], look["image"])]
            faults.add("label maps of another size than their image", mask, f"{sizes[0]}, the image {sizes[1]}")
        else:
            found.append(Pair(name, image, mask, tuple(look["mask"]), tuple(look["labels"]), tuple(look["pixels"])))
    looks.save()
    return found


def _by_name(folder: Path, names: Iterable[str], faults: Faults) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for name in names:
        key = name.rpartition(".")[0]
        if key in found:
            faults.add("names that two files share", folder / name)
        found[key] = folder / name
    return found


class _Looks:
    """Sizes and labels of a split's files, kept between commands by size and time of change."""

    def __init__(self, root: Path, split: str) -> None:
        mark = hashlib.sha256(f"{root.resolve()} {split}".encode()).hexdigest()[:16]
        self.path = cache_folder() / "segmentation" / f"{mark}.json"
        self.known: dict[str, Any] = {}
        with contextlib.suppress(OSError, ValueError):
            kept = json.loads(self.path.read_text(encoding="utf-8"))
            self.known = kept if isinstance(kept, dict) else {}
        self.changed = False

    def at(self, pairs: Sequence[tuple[Path, Path]]) -> list[Mapping[str, Any] | str]:
        """For each pair its sizes and labels, or what is wrong with one of its files."""
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return list(pool.map(self._one, pairs))

    def _one(self, pair: tuple[Path, Path]) -> Mapping[str, Any] | str:
        try:
            marks = [[about.st_size, about.st_mtime_ns] for about in (path.stat() for path in pair)]
            kept = self.known.get(str(pair[1]))
            if kept and "pixels" in kept and kept["marks"] == marks and kept["of"] == str(pair[0]):
                return kept
            labels = images.read_labels(pair[1])
            values, pixels = np.unique(labels, return_counts=True)
            look = {
                "marks": marks, "of": str(pair[0]), "image": list(images.image_size(pair[0])),
                "mask": list(labels.shape), "labels": values.tolist(),
                "pixels": pixels.tolist(),
            }  # fmt: skip
        except (InputError, OSError) as error:
            return str(error)
        self.known[str(pair[1])], self.changed = look, True
        return look

    def save(self) -> None:
        """Keep what is new; a place that cannot be written costs time, not the result."""
        if self.changed:
            with contextlib.suppress(OSError):
                write_text(self.path, json.dumps(self.known))
