"""The demo: three tasks on several models at a size for a laptop, and pictures of what they left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.coco.check import require_pictures
from benchmarks.coco.dataset import CocoRoot, open_coco
from benchmarks.core.model import Model
from benchmarks.core.result import Result
from benchmarks.core.runner import evaluate
from benchmarks.core.tasks import task_named
from benchmarks.davis.dataset import find_root as find_davis
from benchmarks.davis.dataset import list_masks, open_video, read_frame, read_mask
from benchmarks.davis.pictures import write_strip
from benchmarks.davis.task import Videos, open_videos
from benchmarks.figures.attention import write_query_attention
from benchmarks.files import read_json, require_folder
from benchmarks.images import read_rgb
from benchmarks.knn.task import open_imagenet
from benchmarks.listing import list_images


@dataclass(frozen=True)
class Effort:
    """How much the quick run does; its settings are recorded with its results."""

    detector_steps: int = 600
    davis_frames: int = 16

    @property
    def tasks(self) -> dict[str, dict[str, Any]]:
        """Task -> what differs from its settings at scale mini."""
        return {
            "knn": {},
            "davis": {"frames": self.davis_frames},
            "coco-mask-rcnn": {"updates": self.detector_steps},
        }


def require_data(data_root: Path) -> CocoRoot:
    """COCO's images, which FLSL learns from too; :class:`InputError` names what is missing of the three data sets."""
    require_folder(data_root, "data root (with coco/, davis/ and imagenet/)")
    find_davis(data_root)
    open_imagenet(data_root)
    coco = open_coco(data_root)
    require_pictures(coco)
    return coco


def judge(models: Sequence[Model], data_root: Path, out: Path, effort: Effort, seed: int = 0) -> list[Result]:
    """Every model by every task of ``effort``, in this process; records go to ``out/records``."""
    found = []
    for model in models:
        for task, settings in effort.tasks.items():
            found.append(evaluate(model, task, data_root, "mini", out, seed, settings=settings))
    return found


def draw(results: Sequence[Result], models: Sequence[Model], data_root: Path, out: Path, pictures: Path) -> None:
    """Detections, DAVIS strips and attention of all models, into ``pictures``."""
    detector = task_named("coco-mask-rcnn")
    detected = {r.artefacts: out / r.artefacts for r in results if r.task == detector.name}
    settings = detector.settings("mini")
    detector.draw(detector.open(data_root, "mini", settings), settings, detected, pictures)
    videos = open_videos(data_root, "mini")
    folders = {result.name: out / result.artefacts for result in results if result.task == "davis"}
    _draw_davis(pictures / "davis.png", folders, videos)
    coco = data_root / "coco" if (data_root / "coco").is_dir() else data_root
    annotations = read_json(coco / "annotations" / "instances_val2017.json")
    listed = {Path(entry["file_name"]).name: entry for entry in annotations["images"]}
    first = next(name for name in list_images(coco / "val2017") if Path(name).name in listed)
    image = cv2.resize(read_rgb(coco / "val2017" / first), (224, 224))
    box = _largest_box(annotations, listed[Path(first).name])
    networks: Mapping[str, Any] = {model.name: (model.module, model.card) for model in models}
    write_query_attention(pictures / "attention.png", image, box, networks)


def _draw_davis(path: Path, folders: Mapping[str, Path], videos: Videos) -> None:
    video = open_video(videos.root, videos.names[0])
    count = min(len(list((folder / video.name).glob("*.png"))) for folder in folders.values())
    chosen = np.linspace(0, count - 1, 5).round().astype(int)
    masks = list_masks(videos.root, video.name)
    rows = {"ground truth": [read_mask(masks[i]) for i in chosen]}
    for name, folder in folders.items():
        rows[name] = [read_mask(folder / video.name / f"{video.frames[i].stem}.png") for i in chosen]
    titles = [f"{video.name}, frame {i}" for i in chosen]
    write_strip(path, [read_frame(video.frames[i]) for i in chosen], rows, titles)


def _largest_box(data: Mapping[str, Any], image: Mapping[str, Any]) -> tuple[int, int]:
    """The centre of the largest object of an image of the annotations ``data``, in its 224x224 version."""
    whole = [0, 0, image["width"], image["height"]]
    x, y, w, h = max(
        (a["bbox"] for a in data["annotations"] if a["image_id"] == image["id"]),
        key=lambda box: box[2] * box[3],
        default=whole,
    )
    return min(223, int(224 * (x + w / 2) / image["width"])), min(223, int(224 * (y + h / 2) / image["height"]))
