"""A tiny ImageNet in the ILSVRC layout: three colours as classes on noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

COLOURS = {"n00000001": (220, 40, 40), "n00000002": (40, 200, 60), "n00000003": (50, 60, 220)}


def write_box(path: Path, wnid: str, size: tuple[int, int], box: tuple[float, ...]) -> None:
    """A box file in the VOC format; ``size`` is (width, height)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sides = "".join(f"<{n}>{v}</{n}>" for n, v in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True))
    path.write_text(
        f"<annotation><size><width>{size[0]}</width><height>{size[1]}</height></size>"
        f"<object><name>{wnid}</name><bndbox>{sides}</bndbox></object></annotation>"
    )


def write_imagenet(root: Path) -> Path:
    """5 train and 2 val images of each class; the box files of val lie flat, as in the official archive."""
    random = np.random.default_rng(0)
    for split, count in (("train", 5), ("val", 2)):
        for wnid, colour in COLOURS.items():
            for index in range(count):
                name = f"{split}_{wnid}_{index}"
                pixels = random.integers(0, 255, (120, 160, 3), dtype=np.uint8)
                pixels[30:90, 50:110] = colour
                image = root / split / wnid / f"{name}.JPEG"
                image.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(image, quality=95)
                boxes = root / "Annotations/CLS-LOC" / split / (wnid if split == "train" else "")
                write_box(boxes / f"{name}.xml", wnid, (160, 120), (50, 30, 110, 90))
    return root
