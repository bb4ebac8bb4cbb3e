"""Stand-ins for data sets at their official counts: hard-linked tiny pictures, annotations of the usual size.

Written for :mod:`full_size`; nothing in them can be learnt.
"""

from __future__ import annotations

import io
import json
import os
import random
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.uavdt.sequences import ROWS, TEST_FRAMES, TOTAL_FRAMES, TRAIN_SEQUENCES

#: Images and objects of COCO 2017, images and box files of ILSVRC, pairs of the scene parsing benchmark.
COCO = {"train": (118_287, 860_001), "val": (5_000, 36_781)}
IMAGENET = {"train": (1_281_167, 544_546), "val": (50_000, 50_000)}
ADE20K = {"training": 20_210, "validation": 2_000}
#: Sequences of DAVIS 2017's validation set and their frames; the mean length, one frame more in the first.
DAVIS = (30, 1_999)

#: Hard links that one file may have on ext4, with some to spare.
LINKS = 60_000


class Links:
    """Names for one content: a new file where the file system allows no more links to the last."""

    def __init__(self, content: bytes) -> None:
        self.content, self.first, self.count = content, None, LINKS

    def add(self, path: Path) -> None:
        """Make ``path`` one more name of the content."""
        if self.count >= LINKS:
            path.write_bytes(self.content)
            self.first, self.count = path, 1
        else:
            os.link(self.first, path)
            self.count += 1


def picture(width: int, height: int, kind: str = "JPEG") -> bytes:
    """A tiny picture of noise."""
    rng = np.random.default_rng(width * height)
    shape = (height, width, 3) if kind == "JPEG" else (height, width)
    stream = io.BytesIO()
    Image.fromarray(rng.integers(1, 151, shape, np.uint8)).save(stream, kind)
    return stream.getvalue()


def make_coco(root: Path) -> None:
    """COCO 2017's counts; every image is 32x24, every object a triangle or a box."""
    rng = random.Random(0)
    (root / "annotations").mkdir(parents=True)
    categories = [{"id": number, "name": f"class {number}"} for number in range(1, 81)]
    for split, (images, objects) in COCO.items():
        folder = root / f"{split}2017"
        folder.mkdir()
        links = Links(picture(32, 24))
        listed = []
        for number in range(1, images + 1):
            name = f"{number:012d}.jpg"
            links.add(folder / name)
            listed.append({"id": number, "file_name": name, "width": 32, "height": 24})
        annotations = []
        for number in range(1, objects + 1):
            x, y, w, h = rng.uniform(0, 16), rng.uniform(0, 12), rng.uniform(4, 15), rng.uniform(4, 11)
            polygon = [x, y, x + w, y, x + w, y + h, x, y + h] * 4  # official ones have some thirty numbers
            annotations.append(
                {
                    "id": number,
                    "image_id": rng.randrange(1, images + 1),
                    "category_id": rng.randrange(1, 81),
                    "bbox": [x, y, w, h],
                    "area": w * h,
                    "iscrowd": 0,
                    "segmentation": [polygon],
                }
            )
        content = {"images": listed, "annotations": annotations, "categories": categories}
        (root / "annotations" / f"instances_{split}2017.json").write_text(json.dumps(content))


def make_imagenet(root: Path) -> None:
    """ILSVRC's 1.33 million images in 1,000 classes, and its 0.6 million box files."""
    for split, (images, boxed) in IMAGENET.items():
        links, number = Links(picture(64, 48)), 0
        for wnid in range(1000):
            name = f"n{wnid:08d}"
            folder, boxes = root / split / name, root / "Annotations" / "CLS-LOC" / split / name
            folder.mkdir(parents=True)
            boxes.mkdir(parents=True)
            xml = Links(
                "<annotation><size><width>64</width><height>48</height></size><object>"
                f"<name>{name}</name><bndbox><xmin>8</xmin><ymin>6</ymin><xmax>50</xmax><ymax>40</ymax></bndbox>"
                "</object></annotation>".encode()
            )
            here = images // 1000 + (wnid < images % 1000)
            with_box = boxed // 1000 + (wnid < boxed % 1000)
            for index in range(here):
                number += 1
                stem = f"{name}_{index}" if split == "train" else f"ILSVRC2012_val_{number:08d}"
                links.add(folder / f"{stem}.JPEG")
                if index < with_box:
                    xml.add(boxes / f"{stem}.xml")


def make_ade20k(root: Path) -> None:
    """The scene parsing benchmark's 22,210 pairs."""
    base = root / "ADEChallengeData2016"
    base.mkdir(parents=True)
    lines = ["Idx\tRatio\tTrain\tVal\tName", *(f"{i}\t0\t0\t0\tclass {i}" for i in range(1, 151))]
    (base / "objectInfo150.txt").write_text("\n".join(lines))
    for split, count in ADE20K.items():
        for folder, suffix, content in (
            ("images", "jpg", picture(48, 32)),
            ("annotations", "png", picture(48, 32, "PNG")),
        ):
            (base / folder / split).mkdir(parents=True)
            links = Links(content)
            for number in range(1, count + 1):
                links.add(base / folder / split / f"ADE_{split[:5].rstrip('i')}_{number:08d}.{suffix}")


def make_uavdt(root: Path) -> None:
    """UAVDT's 50 sequences: 40,735 frames, the official numbers of rows in the ground truth."""
    lengths = {**dict.fromkeys(TRAIN_SEQUENCES, 0), **TEST_FRAMES}
    left = TOTAL_FRAMES - sum(TEST_FRAMES.values())
    for place, name in enumerate(TRAIN_SEQUENCES):
        lengths[name] = left // len(TRAIN_SEQUENCES) + (place < left % len(TRAIN_SEQUENCES))
    truth = root / "UAV-benchmark-MOTD_v1.0" / "GT"
    truth.mkdir(parents=True)
    rng, links = np.random.default_rng(0), Links(picture(128, 68))
    for name, length in lengths.items():
        folder = root / "UAV-benchmark-M" / name
        folder.mkdir(parents=True)
        for number in range(1, length + 1):
            links.add(folder / f"img{number:06d}.jpg")
        for suffix, count, columns in (("whole", ROWS[name][0], 9), ("ignore", ROWS[name][1], 9)):
            rows = np.ones((count, columns), int)
            rows[:, 0] = np.sort(rng.integers(1, length + 1, count))
            rows[:, 1] = np.arange(count) + 1
            rows[:, 2], rows[:, 3] = rng.integers(0, 90, count), rng.integers(0, 40, count)
            rows[:, 4], rows[:, 5] = rng.integers(4, 30, count), rng.integers(4, 20, count)
            if suffix == "ignore":
                rows[:, 6:] = -1
            np.savetxt(truth / f"{name}_gt_{suffix}.txt", rows, fmt="%d", delimiter=",")


def make_davis(root: Path) -> None:
    """DAVIS 2017's validation set: 30 sequences, 1,999 frames, two objects in each."""
    sequences, frames = DAVIS
    base, names = root / "DAVIS", [f"sequence-{number:02d}" for number in range(sequences)]
    (base / "ImageSets" / "2017").mkdir(parents=True)
    (base / "ImageSets" / "2017" / "val.txt").write_text("".join(f"{name}\n" for name in names))
    labels = np.zeros((48, 85), np.uint8)
    labels[10:30, 10:30], labels[20:40, 50:70] = 1, 2
    stream = io.BytesIO()
    mask = Image.fromarray(labels, "P")
    mask.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
    mask.save(stream, "PNG")
    pictures, masks = Links(picture(85, 48)), Links(stream.getvalue())
    for place, name in enumerate(names):
        for kind, suffix, links in (("JPEGImages", "jpg", pictures), ("Annotations", "png", masks)):
            folder = base / kind / "480p" / name
            folder.mkdir(parents=True)
            for number in range(frames // sequences + (place < frames % sequences)):
                links.add(folder / f"{number:05d}.{suffix}")


MAKERS = {
    "coco": make_coco,
    "imagenet": make_imagenet,
    "ade20k": make_ade20k,
    "uavdt": make_uavdt,
    "davis": make_davis,
}
