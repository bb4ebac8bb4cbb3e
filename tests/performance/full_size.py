"""What a plan costs at the real size of a data set: stand-ins with the official counts, of hard-linked tiny pictures.

Makes the stand-in where it is not there yet, then plans a task on it twice, with an empty cache before, and prints
seconds and peak memory of each. Nothing is trained.

    python tests/performance/full_size.py coco --root STAND_INS
    python tests/performance/full_size.py imagenet ade20k --root STAND_INS
"""

from __future__ import annotations

import argparse
import io
import itertools
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.controls import SMALL_VIT, write_random_control

ROOT = Path(__file__).resolve().parents[2]

#: Images and objects of COCO 2017, images and box files of ILSVRC, pairs of the scene parsing benchmark.
COCO = {"train": (118_287, 860_001), "val": (5_000, 36_781)}
IMAGENET = {"train": (1_281_167, 544_546), "val": (50_000, 50_000)}
ADE20K = {"training": 20_210, "validation": 2_000}
TASKS = {"coco": "coco-mask-rcnn", "imagenet": "knn", "ade20k": "ade20k-fpn"}

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


MAKERS = {"coco": make_coco, "imagenet": make_imagenet, "ade20k": make_ade20k}


def plan(name: str, root: Path, weights: Path, cache: Path) -> tuple[float, float]:
    """Seconds and peak MiB of ``flsl-bench run --dry-run`` of the set's task at scale paper."""
    words = [sys.executable, "-m", "benchmarks", "run", f"a={weights}", "--tasks", TASKS[name], "--dry-run"]
    words += ["--data-root", str(root), "--out", str(root / "out"), "--scale", "paper"]
    start = time.monotonic()
    environment = {**os.environ, "FLSL_CACHE": str(cache), "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        words, env=environment, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    output, errors = process.communicate()
    if process.returncode or "1 jobs, 0 done, 1 to do" not in output:
        raise SystemExit(f"{name}: the plan failed: {errors[-2000:]}")
    return time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="+", choices=tuple(MAKERS))
    parser.add_argument("--root", required=True, type=Path, help="where the stand-ins are, or will be")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "w.safetensors"
        write_random_control(weights, 0, SMALL_VIT)
        for name in args.sets:
            place = args.root / name
            if not place.exists():
                began = time.monotonic()
                MAKERS[name](place)
                print(f"{name}: stand-in made in {time.monotonic() - began:.0f} s")
            for which in itertools.islice(("first", "second", "third"), 2):
                seconds, peak = plan(name, args.root, weights, Path(folder) / "cache")
                print(f"{name}: {which} plan {seconds:.1f} s, peak of all plans so far {peak:.0f} MiB", flush=True)


if __name__ == "__main__":
    main()
