"""How dear is the bootstrap of COCO's scores beside the scoring itself? Synthetic boxes and masks, processor time.

python tests/performance/coco_intervals.py                            # COCO's size
python tests/performance/coco_intervals.py --images 300 --repeats 3
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from pycocotools import mask as rle

from benchmarks.coco import intervals
from benchmarks.core import bootstrap

#: What there is beside scoring: pycocotools' matches gathered, and drawn again.
MATCHES, INTERVAL = intervals.matches, bootstrap.interval


def rectangle(box: np.ndarray) -> list[list[float]]:
    x, y, w, h = map(float, box)
    return [[x, y, x + w, y, x + w, y + h, x, y + h]]


def synthetic(images: int, detections: int, categories: int, rng: np.random.Generator) -> tuple[dict, list[dict]]:
    """Seven objects an image, as COCO has; each is found with some error, the other detections are anywhere."""
    truth: dict = {
        "images": [],
        "annotations": [],
        "categories": [{"id": 1 + c, "name": str(c)} for c in range(categories)],
    }
    found = []
    for image in range(1, images + 1):
        truth["images"].append({"id": image, "width": 640, "height": 480, "file_name": f"{image}.jpg"})
        boxes = np.c_[rng.uniform(0, 500, (7, 1)), rng.uniform(0, 380, (7, 1)), np.exp(rng.uniform(2, 4.6, (7, 2)))]
        kinds = rng.integers(1, categories + 1, 7)
        for box, kind in zip(boxes, kinds, strict=True):
            number = len(truth["annotations"]) + 1
            truth["annotations"].append(
                {"id": number, "image_id": image, "category_id": int(kind), "bbox": box.tolist(), "iscrowd": 0,
                 "area": float(box[2] * box[3]), "segmentation": rectangle(box)}
            )  # fmt: skip
        for index in range(detections):
            near = index < 14
            box = boxes[index % 7] + (rng.normal(0, 3, 4) if near else rng.uniform(-100, 100, 4))
            box[2:] = np.maximum(np.abs(box[2:]), 2)
            kind = int(kinds[index % 7]) if near else int(rng.integers(1, categories + 1))
            value = float(rng.beta(4, 2) if near else rng.beta(1, 5))
            (mask,) = rle.frPyObjects(rectangle(box), 480, 640)
            mask["counts"] = mask["counts"].decode()
            found.append({"image_id": image, "category_id": kind, "bbox": box.tolist(), "score": value,
                          "segmentation": mask})  # fmt: skip
    return truth, found


class Clock:
    """Processor time that a function takes, all calls together."""

    def __init__(self, function: Callable) -> None:
        self.function, self.seconds = function, 0.0

    def __call__(self, *args, **kwargs):
        start = time.process_time()
        result = self.function(*args, **kwargs)
        self.seconds += time.process_time() - start
        return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--detections", type=int, default=100)
    parser.add_argument("--categories", type=int, default=80)
    parser.add_argument("--repeats", type=int, default=1)
    args = parser.parse_args()
    truth, found = synthetic(args.images, args.detections, args.categories, np.random.default_rng(0))
    scoring, bootstrapping = [], []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "truth.json"
        file.write_text(json.dumps(truth))
        for _ in range(args.repeats):
            whole = Clock(intervals.score_with_interval)
            parts = Clock(MATCHES), Clock(INTERVAL)
            intervals.matches, bootstrap.interval = parts
            result = whole(file, found)
            bootstrapping.append(sum(part.seconds for part in parts))
            scoring.append(whole.seconds - bootstrapping[-1])
    scores, bounds = statistics.median(scoring), statistics.median(bootstrapping)
    print(f"{args.images} images, {len(found)} detections, {result['interval']['resamples']} resamples")
    print(f"scores {scores:.1f} s, their intervals {bounds:.1f} s more: {bounds / scores:.3f} of it")
    for name, (low, high) in result["interval"]["values"].items():
        print(f"  {name:10s} {result['metrics'][name]:6.2f} [{low:.2f}, {high:.2f}]")


if __name__ == "__main__":
    main()
