"""Validation images with what was detected beside what is there."""

from __future__ import annotations

import colorsys
import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from matplotlib.figure import Figure
from pycocotools.coco import COCO

from benchmarks.coco.locate import locate
from benchmarks.coco.reading import read_annotations
from benchmarks.files import atomic_path
from benchmarks.images import read_bgr

SIDE = 320


def write_detections(
    path: str | os.PathLike[str],
    annotations: str | os.PathLike[str],
    images: str | os.PathLike[str],
    detections: list[dict[str, Any]],
    count: int = 4,
    threshold: float = 0.3,
) -> None:
    """Write a PNG of ``count`` images: ground truth above, detections with a score above ``threshold`` below.

    ``annotations`` is the user's own file, whose ids the detections have, ``images`` the folder of its split.
    """
    own, folder = read_annotations(annotations), Path(images)
    with contextlib.redirect_stdout(sys.stderr):
        truth = COCO()
        truth.dataset = own.content
        truth.createIndex()
    detections = own.engine_ids(detections)
    names = {category["id"]: category["name"] for category in truth.loadCats(truth.getCatIds())}
    colours = {c: _colour(i / max(1, len(names))) for i, c in enumerate(names)}
    columns = []
    for image_id in sorted(truth.getImgIds())[:count]:
        info = truth.loadImgs(image_id)[0]
        elsewhere, _ = locate([info["file_name"]], folder, folder.parent)
        picture = read_bgr(folder / elsewhere.get(info["file_name"], info["file_name"]))
        real = truth.loadAnns(truth.getAnnIds(image_id))
        found = [d for d in detections if d["image_id"] == image_id and d["score"] > threshold]
        columns.append(np.vstack([_draw(picture, items, truth, names, colours) for items in (real, found)]))
    sheet = np.hstack(columns)
    for row, title in enumerate(("ground truth", f"detections, score > {threshold}")):
        _label(sheet, title, (6, row * SIDE + SIDE - 8), (255, 255, 255))
    with atomic_path(path) as temporary:
        temporary.write_bytes(cv2.imencode(".png", sheet)[1].tobytes())


def write_losses(path: str | os.PathLike[str], runs: dict[str, Path]) -> None:
    """Write a PNG of every loss over the iterations; ``runs`` names each run's ``losses.jsonl``."""
    logs = {name: [json.loads(line) for line in file.read_text().splitlines()] for name, file in runs.items()}
    kinds = [key for key in next(iter(logs.values()))[0] if key.startswith("loss")]
    figure = Figure(figsize=(3.4 * len(kinds), 3), layout="constrained")
    for axis, kind in zip(figure.subplots(1, len(kinds), squeeze=False)[0], kinds, strict=True):
        for name, log in logs.items():
            values = np.array([line.get(kind, np.nan) for line in log])
            width = max(1, len(values) // 50)
            smooth = np.convolve(values, np.full(width, 1 / width), mode="valid")
            axis.plot(np.arange(width, len(values) + 1), smooth, label=name, linewidth=1.2)
        axis.set(title=kind, xlabel="iteration")
        axis.grid(alpha=0.3)
    figure.axes[0].legend(fontsize=8)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png")


def _draw(picture, items, truth, names, colours) -> np.ndarray:
    """One image in a square of :data:`SIDE` pixels, its objects tinted, boxed and named."""
    scale = SIDE / max(picture.shape[:2])
    size = (round(picture.shape[1] * scale), round(picture.shape[0] * scale))
    square = np.zeros((SIDE, SIDE, 3), np.uint8)
    drawn = cv2.resize(picture, size)
    for item in items:
        colour = colours[item["category_id"]]
        mask = cv2.resize(truth.annToMask(item), size, interpolation=cv2.INTER_NEAREST) > 0
        drawn[mask] = (0.55 * drawn[mask] + 0.45 * np.array(colour)).astype(np.uint8)
        x, y, w, h = (round(v * scale) for v in item["bbox"])
        cv2.rectangle(drawn, (x, y), (x + w, y + h), colour, 1)
        score = f" {item['score']:.2f}" if "score" in item else ""
        _label(drawn, names[item["category_id"]] + score, (max(0, x), max(10, y - 3)), colour)
    square[: size[1], : size[0]] = drawn
    return square


def _label(picture: np.ndarray, text: str, origin: tuple[int, int], colour: tuple[int, ...]) -> None:
    """Write ``text`` from ``origin`` on, further to the left where it would leave the picture."""
    (width, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.38, 3)
    origin = max(0, min(origin[0], picture.shape[1] - width)), origin[1]
    cv2.putText(picture, text, origin, cv2.FONT_HERSHEY_SIMPLEX, 0.38, (0, 0, 0), 3, cv2.LINE_AA)
    cv2.putText(picture, text, origin, cv2.FONT_HERSHEY_SIMPLEX, 0.38, colour, 1, cv2.LINE_AA)


def _colour(hue: float) -> tuple[int, int, int]:
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.65, 1.0)
    return round(255 * blue), round(255 * green), round(255 * red)
