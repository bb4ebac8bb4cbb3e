"""The world as COCO 2017: ``train2017/``, ``val2017/`` and ``annotations/instances_*.json``."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.shapes.classes import OBJECT_CLASSES, OBJECT_KINDS
from benchmarks.shapes.scene import Scene, render_scene
from benchmarks.shapes.writers.files import progress, save_jpeg, write_set

_INFO = {
    "description": "shapes world in the layout of COCO 2017",
    "url": "",
    "version": "1.0",
    "year": 2017,
    "contributor": "rendered",
    "date_created": "2017/09/01",
}
_LICENCE = {"url": "https://www.apache.org/licenses/LICENSE-2.0", "id": 1, "name": "Apache License 2.0"}

#: The first image id of each split; validation scenes are none of the training scenes.
_FIRST_ID = {"train2017": 1, "val2017": 500_001}
_GREY_EVERY = 40


def coco_categories() -> list[dict[str, Any]]:
    """The categories: ids from 1 in the order of ``OBJECT_CLASSES``, the shape as supercategory."""
    names = zip(OBJECT_CLASSES, OBJECT_KINDS, strict=True)
    return [{"supercategory": shape, "id": i, "name": name} for i, (name, (shape, _)) in enumerate(names, start=1)]


def mask_polygons(mask: np.ndarray) -> list[list[float]]:
    """Polygons [x0, y0, x1, y1, ...] around the parts of a mask (bool [H, W]), holes filled.

    The corners are a quarter of a pixel inside the border of the outer pixels, so that rasterising the
    polygon by pixel centres gives the mask back. Parts under 4 pixels are left out if there is a larger one.
    """
    doubled = np.kron(mask.astype(np.uint8), np.ones((2, 2), np.uint8))
    contours, _ = cv2.findContours(doubled, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    contours = sorted(contours, key=cv2.contourArea, reverse=True)
    kept = [c for number, c in enumerate(contours) if number == 0 or cv2.contourArea(c) >= 16]
    return [((contour[:, 0, :] + 0.5) / 2).ravel().tolist() for contour in kept]


def run_lengths(mask: np.ndarray) -> dict[str, list[int]]:
    """COCO's uncompressed run-length encoding of bool [H, W]: column-major, beginning with zeros."""
    flat = np.concatenate([[0], mask.ravel(order="F").astype(np.int8), [0]])
    edges = np.flatnonzero(np.diff(flat))
    counts = np.diff(np.concatenate([[0], edges, [mask.size]])).tolist()
    return {"counts": counts[:-1] if counts[-1] == 0 else counts, "size": list(mask.shape)}


def _polygon_annotation(polygons: list[list[float]]) -> dict[str, Any]:
    points = [np.array(p, np.float32).reshape(-1, 2) for p in polygons]
    every = np.concatenate(points)
    left, top = every.min(axis=0).tolist()
    right, bottom = every.max(axis=0).tolist()
    return {
        "segmentation": polygons,
        "area": sum(cv2.contourArea(p) for p in points),
        "iscrowd": 0,
        "bbox": [left, top, right - left, bottom - top],
    }


def scene_annotations(scene: Scene, image_id: int, first_id: int) -> list[dict[str, Any]]:
    """The COCO annotations of a scene: polygons, or run lengths for crowds."""
    annotations = []
    for index, item in enumerate(scene.objects):
        mask = scene.instances == index + 1
        if item.is_crowd:
            left, top, right, bottom = item.visible_box
            body = {
                "segmentation": run_lengths(mask),
                "area": item.visible_area,
                "iscrowd": 1,
                "bbox": [left, top, right - left, bottom - top],
            }
        else:
            body = _polygon_annotation(mask_polygons(mask))
        annotations.append({**body, "image_id": image_id, "category_id": item.class_index + 1, "id": first_id + index})
    return annotations


def _write_split(folder: Path, split: str, count: int, size: int, seed: int) -> None:
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for index in progress(range(count), f"coco {split}"):
        image_id = _FIRST_ID[split] + index
        # Landscape, portrait and square, as in COCO.
        shape = ((size * 3 // 4, size), (size, size * 3 // 4), (size, size))[image_id % 3]
        scene = render_scene(seed, image_id, shape)
        name = f"{image_id:012d}.jpg"
        save_jpeg(folder / split / name, scene.image, grey=image_id % _GREY_EVERY == 0)
        images.append(
            {
                "license": 1,
                "file_name": name,
                "coco_url": "",
                "height": shape[0],
                "width": shape[1],
                "date_captured": "2017-09-01 00:00:00",
                "flickr_url": "",
                "id": image_id,
            }
        )
        annotations += scene_annotations(scene, image_id, first_id=image_id * 100)
    content = {
        "info": _INFO,
        "licenses": [_LICENCE],
        "images": images,
        "annotations": annotations,
        "categories": coco_categories(),
    }
    (folder / "annotations").mkdir(exist_ok=True)
    (folder / "annotations" / f"instances_{split}.json").write_text(json.dumps(content))


def write_coco(
    root: str | os.PathLike[str], train_images: int, val_images: int, size: int = 224, seed: int = 0
) -> Path:
    """Write ``root/coco`` in COCO's layout; images have a longer side of ``size`` pixels. Returns the folder."""

    def fill(folder: Path) -> None:
        _write_split(folder, "train2017", train_images, size, seed)
        _write_split(folder, "val2017", val_images, size, seed)

    parameters = {"set": "coco", "train_images": train_images, "val_images": val_images, "size": size, "seed": seed}
    return write_set(Path(root) / "coco", parameters, fill)
