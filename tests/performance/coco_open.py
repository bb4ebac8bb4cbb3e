"""How long does opening COCO take beside json.load alone? A synthetic training file, processor time.

python tests/performance/coco_open.py                                  # COCO's size, 540 MB in a temporary folder
python tests/performance/coco_open.py --images 5000 --objects 36000
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

_LOAD = "import json, time; a = time.process_time(); json.load(open({file!r})); print(time.process_time() - a)"
_OPEN = """
import time
from pathlib import Path
from benchmarks.coco.reading import read_listing
for _ in range(2):
    a = time.process_time()
    listing = read_listing(Path({file!r}), training=True)
    print(time.process_time() - a)
assert not listing.changed
"""


def write(file: Path, images: int, objects: int) -> None:
    """Polygons of 8 to 43 points in one or two parts, a crowd for 85 objects, numbers with two decimals: as COCO."""
    rng = np.random.default_rng(0)
    ids = np.sort(rng.choice(6 * images, images, replace=False)).tolist()
    url = "http://images.cocodataset.org/train2017"
    listed = [
        {"license": 3, "file_name": f"{i:012d}.jpg", "coco_url": f"{url}/{i:012d}.jpg", "height": 480, "width": 640}
        | {"date_captured": "2013-11-14 11:18:45", "id": i}
        for i in ids
    ]
    annotations = []
    for number in range(objects):
        x, y, w, h = (float(v) for v in np.round(rng.uniform([0, 0, 5, 5], [400, 300, 230, 170]), 2))
        mask: object = {"counts": [int(y), 100, 480 * 640 - int(y) - 100], "size": [480, 640]}
        if number % 85:
            parts = []
            for _ in range(1 if number % 8 else 2):
                points = np.round(rng.random((int(rng.integers(8, 44)), 2)) * [w, h] + [x, y], 2)
                points[0], points[-1] = (x, y), (x + w, y + h)
                parts.append(points.ravel().tolist())
            mask = parts
        annotations.append(
            {"segmentation": mask, "area": w * h / 2, "iscrowd": int(number % 85 == 0), "bbox": [x, y, w, h]}
            | {"image_id": ids[int(rng.integers(images))], "category_id": int(rng.integers(1, 81)), "id": number + 1}
        )
    categories = [{"supercategory": "thing", "id": c, "name": f"class {c}"} for c in range(1, 81)]
    with open(file, "w", encoding="utf-8") as stream:
        json.dump({"images": listed, "annotations": annotations, "categories": categories}, stream)


def seconds(script: str) -> list[float]:
    """What a fresh interpreter prints."""
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    return [float(line) for line in done.stdout.split()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=118_287)
    parser.add_argument("--objects", type=int, default=860_001)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "instances.json"
        write(file, args.images, args.objects)
        print(f"{args.images:,} images, {args.objects:,} objects, {file.stat().st_size / 1e6:.0f} MB")
        (load,) = seconds(_LOAD.format(file=str(file)))
        first, again = seconds(_OPEN.format(file=str(file)))
    print(f"json.load {load:.2f} s, opened {first:.2f} s ({first / load:.2f} of it), opened again {again:.3f} s")


if __name__ == "__main__":
    main()
