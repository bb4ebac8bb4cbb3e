"""A small COCO data set as Python data, its files on disk, and pycocotools' own scores to compare with."""

from __future__ import annotations

import contextlib
import copy
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

#: Width and height of its pictures: not the same, so that swapped sides show.
WIDTH, HEIGHT = 80, 60
NAMES = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")


def rectangle(x: float, y: float, w: float, h: float) -> list[float]:
    """A polygon around a box."""
    return [x, y, x + w, y, x + w, y + h, x, y + h]


def content(images: int = 4, first: int = 1) -> dict[str, Any]:
    """Images of three objects each, of three categories; sound in every way."""
    rng = np.random.default_rng(first)
    data: dict[str, Any] = {
        "images": [],
        "annotations": [],
        "categories": [{"id": 3, "name": "cat"}, {"id": 5, "name": "dog"}, {"id": 8, "name": "bird"}],
    }
    for image in range(first, first + images):
        data["images"].append({"id": image, "file_name": f"{image:06d}.png", "width": WIDTH, "height": HEIGHT})
        for number in range(3):
            x, y = (float(v) for v in rng.integers(2, 30, 2))
            w, h = (float(v) for v in rng.integers(8, 28, 2))
            data["annotations"].append(
                {
                    "id": 10 * image + number,
                    "image_id": image,
                    "category_id": (3, 5, 8)[number],
                    "bbox": [x, y, w, h],
                    "area": w * h,
                    "iscrowd": 0,
                    "segmentation": [rectangle(x, y, w, h)],
                }
            )
    return data


def write(root: Path, train: Any, val: Any, size: tuple[int, int] = (WIDTH, HEIGHT)) -> Path:
    """Write both splits below ``root`` with a grey picture for each plain file name; returns ``root``."""
    (root / "annotations").mkdir(parents=True, exist_ok=True)
    for split, data in (("train", train), ("val", val)):
        text = data if isinstance(data, str) else json.dumps(data)
        (root / "annotations" / f"instances_{split}2017.json").write_text(text, encoding="utf-8")
        folder = root / f"{split}2017"
        folder.mkdir(exist_ok=True)
        for image in data["images"] if isinstance(data, dict) and isinstance(data.get("images"), list) else []:
            name = image.get("file_name") if isinstance(image, dict) else None
            if isinstance(name, str) and name:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", size, (90, 120, 90)).save(folder / name)
    return root


def truth_as_detections(data: dict[str, Any], seed: int = 0) -> list[dict[str, Any]]:
    """The objects of a sound data set as detections, boxes and masks a little moved."""
    rng, found = np.random.default_rng(seed), []
    for a in data["annotations"]:
        x, y, w, h = a["bbox"]
        x, y = x + float(rng.integers(0, 4)), y + float(rng.integers(0, 3))
        mask = official(data).annToRLE({**a, "segmentation": [rectangle(x, y, w, h)]})
        found.append(
            {
                "image_id": a["image_id"],
                "category_id": a["category_id"],
                "bbox": [x, y, w, h],
                "score": float(np.round(rng.random(), 3)),
                "segmentation": {"size": mask["size"], "counts": mask["counts"].decode()},
            }
        )
    return found


def official(data: dict[str, Any]) -> COCO:
    """pycocotools on ``data`` as it is."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = copy.deepcopy(data)
        truth.createIndex()
    return truth


def official_scores(data: dict[str, Any], detections: list[dict[str, Any]], kind: str) -> dict[str, float | None]:
    """pycocotools' twelve numbers in percent, by its own few lines; of masks alone for ``segm``, as COCO's server."""
    left_out = "segmentation" if kind == "bbox" else "bbox"
    results = [{k: v for k, v in copy.deepcopy(d).items() if k != left_out} for d in detections]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = official(data)
        evaluation = COCOeval(truth, truth.loadRes(results), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    stats = evaluation.stats.tolist()
    return {name: None if value < 0 else 100 * value for name, value in zip(NAMES, stats, strict=True)}
