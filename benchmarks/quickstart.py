"""The three benchmarks on several checkpoints at a size for a laptop: records, one table, pictures."""

from __future__ import annotations

import datetime
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.backbones import load_backbone
from benchmarks.coco.dataset import CocoRoot, open_coco
from benchmarks.coco.pictures import write_detections
from benchmarks.coco.run import run as run_coco
from benchmarks.davis.dataset import find_root as find_davis
from benchmarks.davis.dataset import list_masks, open_video, read_frame, read_mask, sequence_names
from benchmarks.davis.pictures import write_strip
from benchmarks.davis.protocol import MINI as SMALL_DAVIS
from benchmarks.davis.run import evaluate_checkpoint as run_davis
from benchmarks.errors import InputError
from benchmarks.figures.attention import write_query_attention
from benchmarks.files import read_json, require_folder
from benchmarks.knn.dataset import find_root as find_imagenet
from benchmarks.knn.dataset import read_split
from benchmarks.knn.run import evaluate_checkpoint as run_knn
from benchmarks.records import fingerprint, make_record, write_record


@dataclass(frozen=True)
class Effort:
    """How much the quick run does; recorded with its results."""

    detector_steps: int = 200
    davis_frames: int = 16


@dataclass(frozen=True)
class DataSets:
    """The three data sets of a quick run, found and checked to be there."""

    imagenet: Path
    davis: Path
    sequences: tuple[str, ...]  # of DAVIS; those of one or two frames have none to score and are left out
    coco: CocoRoot

    @staticmethod
    def find(data_root: str | os.PathLike[str]) -> DataSets:
        """``imagenet/``, ``davis/`` and ``coco/`` under ``data_root``; :class:`InputError` names what is missing."""
        root = require_folder(data_root, "data root (with coco/, davis/ and imagenet/)")
        imagenet, davis = find_imagenet(root), find_davis(root)
        for split in ("train", "val"):
            read_split(imagenet, split)
        sequences = tuple(name for name in sequence_names(davis) if len(list_masks(davis, name)) >= 3)
        if not sequences:
            raise InputError(f"{davis}: no sequence of its validation list has 3 frames or more, so none can be scored")
        return DataSets(imagenet, davis, sequences, open_coco(root))


def judge(
    name: str,
    checkpoint: str | os.PathLike[str],
    data: DataSets,
    out: Path,
    records: Path,
    effort: Effort,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Run k-NN, DAVIS and Mask R-CNN on one canonical checkpoint; write the three records and return them.

    Label maps and detections stay in ``out/<name>``.
    """
    found = []
    imagenet, davis, coco = data.imagenet, data.davis, data.coco
    folder = out / name

    def keep(benchmark: str, protocol: str, source: dict[str, Any], result: dict[str, Any]) -> None:
        record = make_record(benchmark, protocol, "mini", name, checkpoint, source, result, seed, started)
        write_record(records, record)
        found.append(record)

    started = datetime.datetime.now(datetime.timezone.utc)
    knn = run_knn(checkpoint, imagenet)
    metrics = {key: knn.pop(key) for key in ("top1", "top5", "single_vote")}
    boxes = list((imagenet / "Annotations").rglob("*.xml"))
    keep("knn", knn["protocol"], fingerprint(imagenet, boxes), {"metrics": metrics, "run": knn})

    started = datetime.datetime.now(datetime.timezone.utc)
    # The first frames alone are not what Table 4 scores at scale mini, and are not called so.
    frames = effort.davis_frames
    protocol = replace(SMALL_DAVIS, name=f"davis2017-192p, {frames} frames (mini)")
    result = run_davis(checkpoint, davis, folder / "davis", data.sequences, frames=frames, protocol=protocol)
    masks = list((davis / "Annotations").rglob("*.png"))
    keep("davis", protocol.name, fingerprint(davis, masks), result)

    started = datetime.datetime.now(datetime.timezone.utc)
    result = run_coco(checkpoint, coco.path, folder / "coco", iterations=effort.detector_steps, seed=seed, resume=False)
    keep(
        "coco",
        f"mask-rcnn-fpn-frozen-{effort.detector_steps} (mini)",
        fingerprint(coco.path, [coco.annotations("train"), coco.annotations("val")]),
        result,
    )
    return found


def draw(checkpoints: dict[str, Path], data: DataSets, out: Path) -> list[Path]:
    """Pictures of what :func:`judge` left in ``out``: detections, DAVIS strips, attention. Returns their paths."""
    coco, davis = data.coco, data.davis
    pictures = out / "pictures"
    written = []
    for name in checkpoints:
        written.append(pictures / f"detections-{name}.png")
        detections = read_json(out / name / "coco" / "detections.json")
        write_detections(written[-1], coco.annotations("val"), coco.path / "val2017", detections)
    written.append(pictures / "davis.png")
    _draw_davis(written[-1], list(checkpoints), davis, data.sequences[0], out)
    written.append(pictures / "attention.png")
    first = sorted((coco.path / "val2017").iterdir())[0]
    image = cv2.resize(cv2.imread(str(first)), (224, 224))[:, :, ::-1].copy()
    box = _largest_box(coco.annotations("val"), first.name)
    networks = {name: load_backbone(path) for name, path in checkpoints.items()}
    write_query_attention(written[-1], image, box, networks)
    return written


def _draw_davis(path: Path, names: list[str], davis: Path, sequence: str, out: Path) -> None:
    video = open_video(davis, sequence)
    count = len(list((out / names[0] / "davis" / sequence).glob("*.png")))
    chosen = np.linspace(0, count - 1, 5).round().astype(int)
    masks = list_masks(davis, sequence)
    rows = {"ground truth": [read_mask(masks[i]) for i in chosen]}
    for name in names:
        folder = out / name / "davis" / sequence
        rows[name] = [read_mask(folder / f"{video.frames[i].stem}.png") for i in chosen]
    titles = [f"{sequence}, frame {i}" for i in chosen]
    write_strip(path, [read_frame(video.frames[i]) for i in chosen], rows, titles)


def _largest_box(annotations: Path, file_name: str) -> tuple[int, int]:
    """The centre of the largest object of an image, in its 224x224 version."""
    data = read_json(annotations)
    image = next(entry for entry in data["images"] if entry["file_name"] == file_name)
    boxes = [a["bbox"] for a in data["annotations"] if a["image_id"] == image["id"]] or [[0, 0, *_size(image)]]
    x, y, w, h = max(boxes, key=lambda box: box[2] * box[3])
    width, height = _size(image)
    return min(223, int(224 * (x + w / 2) / width)), min(223, int(224 * (y + h / 2) / height))


def _size(image: dict[str, Any]) -> tuple[int, int]:
    return image["width"], image["height"]
