"""What scoring costs at the real size of the data: seconds and peak memory of each command that scores files.

COCO: 5,000 images of 640x480 with 35,000 objects, 100 detections an image, all with masks. DAVIS: 30 videos of 67
frames of 480x854, two objects. (UAVDT has ``uavdt_scoring.py``.) What the commands read is made first.

    python tests/performance/full_size_scores.py coco davis            # about a quarter of an hour of one core
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from coco_intervals import synthetic
from davis_scores import blobs
from full_size import ROOT, measured
from PIL import Image

VIDEOS, FRAMES = 30, 67


def coco(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Once by pycocotools, once by hotcoco, which a test holds equal to it."""
    truth, found = synthetic(5_000, 100, 80, np.random.default_rng(0))
    for name, content in (("truth", truth), ("found", found)):
        (folder / f"{name}.json").write_text(json.dumps(content))
    files = ["--annotations", str(folder / "truth.json"), "--detections", str(folder / "found.json")]
    for scorer in ("pycocotools", "hotcoco"):
        yield scorer, [str(ROOT / "tools/evaluate_coco.py"), *files, "--boxes-by", scorer, "--masks-by", scorer]


def davis(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Index masks that are a little off."""
    root, names = folder / "DAVIS", [f"video-{number:02d}" for number in range(VIDEOS)]
    for number, name in enumerate(names):
        places = root / "Annotations/480p" / name, folder / "found" / name, root / "JPEGImages/480p" / name
        for place in places:
            place.mkdir(parents=True)
        pairs = zip(blobs(number, FRAMES, 0), blobs(number, FRAMES, 3), strict=True)
        for frame, (truth, found) in enumerate(pairs):
            for place, mask in zip(places, (truth, found), strict=False):
                Image.fromarray(mask.astype(np.uint8), "P").save(place / f"{frame:05d}.png")
            (places[2] / f"{frame:05d}.jpg").touch()
    (root / "ImageSets/2017").mkdir(parents=True)
    (root / "ImageSets/2017/val.txt").write_text("\n".join(names))
    where = ["--davis-root", str(root), "--predictions", str(folder / "found")]
    yield "J&F", [str(ROOT / "tools/evaluate_davis.py"), *where]


SETS = {"coco": coco, "davis": davis}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="+", choices=SETS)
    for name in parser.parse_args().sets:
        with tempfile.TemporaryDirectory() as folder:
            for which, words in SETS[name](Path(folder)):
                seconds, peak, _ = measured(words, Path(folder) / "cache")
                print(f"{name}: {which} {seconds:.1f} s, peak {peak} MiB", flush=True)


if __name__ == "__main__":
    main()
