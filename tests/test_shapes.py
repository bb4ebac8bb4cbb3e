"""The built-in miniature world: deterministic, in the real layouts, and the main job runs on it."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from benchmarks import shapes
from benchmarks.errors import InputError

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    root = tmp_path_factory.mktemp("world")
    shapes.write_world(root, "tiny", seed=0)
    return root


def fingerprint(root):
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        if path.is_file():
            digest.update(str(path.relative_to(root)).encode() + path.read_bytes())
    return digest.hexdigest()


def test_a_scene_is_a_function_of_seed_and_index():
    first, again, other = (shapes.render_scene(*key) for key in ((3, 5), (3, 5), (4, 5)))
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.semantic, again.semantic)
    assert not np.array_equal(first.image, other.image)
    assert len(shapes.OBJECT_CLASSES) >= 8
    assert first.semantic.max() < len(shapes.OBJECT_CLASSES) + len(shapes.STUFF_CLASSES)


def test_the_same_seed_gives_the_same_files_and_another_seed_is_refused(world, tmp_path):
    shapes.write_world(tmp_path, "tiny", seed=0)
    assert fingerprint(tmp_path / "coco") == fingerprint(world / "coco")
    assert fingerprint(tmp_path / "davis") == fingerprint(world / "davis")
    before = fingerprint(tmp_path)
    with pytest.raises(InputError):
        shapes.write_world(tmp_path, "tiny", seed=1)
    assert fingerprint(tmp_path) == before


def test_coco_annotations_load_and_lie_inside_their_images(world, capsys):
    coco = COCO(world / "coco/annotations/instances_train2017.json")
    assert [category["name"] for category in coco.loadCats(coco.getCatIds())] == list(shapes.OBJECT_CLASSES)
    annotations = coco.loadAnns(coco.getAnnIds())
    assert len(annotations) > 16
    for annotation in annotations:
        image = coco.loadImgs(annotation["image_id"])[0]
        x, y, w, h = annotation["bbox"]
        assert x >= 0 <= y
        assert x + w <= image["width"] + 1e-6
        assert y + h <= image["height"] + 1e-6
        assert coco.annToMask(annotation).sum() == pytest.approx(annotation["area"], rel=0.25, abs=30)
    for image in coco.loadImgs(coco.getImgIds()):
        picture = cv2.imread(str(world / "coco/train2017" / image["file_name"]))
        assert picture.shape[:2] == (image["height"], image["width"])


def test_davis_masks_go_with_their_frames(world):
    davis = world / "davis/DAVIS"
    for name in (davis / "ImageSets/2017/val.txt").read_text().split():
        frames = sorted((davis / "JPEGImages/480p" / name).glob("*.jpg"))
        masks = sorted((davis / "Annotations/480p" / name).glob("*.png"))
        assert [f.stem for f in frames] == [m.stem for m in masks]
        first = Image.open(masks[0])
        assert first.mode == "P"
        assert np.array(first).max() >= 1


def test_uavdt_rows_have_the_official_columns(world):
    for path in (world / "uavdt/UAV-benchmark-MOTD_v1.0/GT").glob("*_gt_whole.txt"):
        rows = np.loadtxt(path, delimiter=",", ndmin=2)
        assert rows.shape[1] == 9
        assert set(rows[:, 8]) <= {1, 2, 3}
        frames = len(list((world / "uavdt/UAV-benchmark-M" / path.name[:5]).glob("img*.jpg")))
        assert rows[:, 0].min() >= 1
        assert rows[:, 0].max() <= frames


def run(*command):
    done = subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done


def test_from_pictures_to_scores_through_the_commands(world, tmp_path):
    """Pretrain on the world, convert, and judge on DAVIS and k-NN: each step takes only the file of the last."""
    out, checkpoint = tmp_path / "run", tmp_path / "flsl.safetensors"
    run(
        "-m", "pretrain", ROOT / "pretrain/configs/mini.yaml", f"data.root={world / 'coco/train2017'}",
        f"run.out={out}", "run.epochs=1", "run.batch=8", "data.workers=0",
    )  # fmt: skip
    run(ROOT / "tools/convert.py", out / "checkpoint.pth", "--out", checkpoint)
    assert json.loads(checkpoint.with_suffix(".json").read_text())["provenance"]["num_heads"] == "file"
    knn, davis = tmp_path / "knn.json", tmp_path / "davis.json"
    run(ROOT / "tools/evaluate_knn.py", "--checkpoint", checkpoint, "--imagenet-root", world, "--json", knn)
    top1 = json.loads(knn.read_text())["top1"]
    assert top1.keys() == {"10", "20", "100", "200"}
    assert all(0 <= value <= 100 for value in top1.values())
    run(
        ROOT / "tools/propagate_davis.py", "--checkpoint", checkpoint, "--davis-root", world,
        "--out", tmp_path / "maps", "--short-side", 96, "--size-multiple", 32,
    )  # fmt: skip
    run(ROOT / "tools/evaluate_davis.py", "--davis-root", world, "--predictions", tmp_path / "maps", "--json", davis)
    assert 0 < json.loads(davis.read_text())["J&F-Mean"] < 1
