"""The demo at the smallest size, as a user runs it: from nothing to records, pictures and one table."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
from in_process import run_tool

from benchmarks.backbones import load_backbone
from benchmarks.checkpoints.shapes import tensor_shapes
from benchmarks.controls import FLSL_PHOTOS, FLSL_SHAPES, POSITIVE_CONTROL, SMALL_VIT
from benchmarks.core.result import read_results

ROOT = Path(__file__).resolve().parents[1]
MODELS = ("flsl", "flsl-shipped", "random", "supervised")


def demo(*arguments):
    pytest.importorskip("mmcv.ops", reason="needs mmcv with its operators")
    command = [sys.executable, ROOT / "tools/quickstart.py", "--epochs", 1, "--detector-steps", 2, *arguments]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_from_nothing_to_a_table(tmp_path):
    out = tmp_path / "demo"
    printed = demo("--scale", "tiny", "--out", out, "--json", tmp_path / "records.json")
    records = read_results(out / "records")
    assert sorted((r.name, r.task) for r in records) == [
        (name, benchmark) for name in MODELS for benchmark in ("coco-mask-rcnn", "davis", "knn")
    ]
    assert len(json.loads((tmp_path / "records.json").read_text())) == 12
    assert {r.scale for r in records} == {"mini"}
    assert {r.protocol for r in records if r.benchmark == "davis"} == {"davis2017-192p (mini), 16 frames"}
    assert {r.checkpoint["card"]["method"] for r in records if r.name.startswith("flsl")} == {"FLSL"}
    assert all(line in printed for line in ("not a reproduction of the paper", "seeds in which supervised beats"))
    for name in MODELS:
        row = next(line for line in printed.splitlines() if line.startswith(f"{name} "))
        assert len(row.split()) == 8
    pictures = sorted((out / "seed0/pictures").glob("*.png"))
    assert [p.stem.partition("-seed0-")[0] for p in pictures] == [
        "attention", "davis", *(f"detections-{n}-coco-mask-rcnn" for n in MODELS), "losses",
    ]  # fmt: skip
    for picture in pictures:
        assert cv2.imread(str(picture)).std() > 10


@pytest.mark.parametrize(
    ("path", "method"), [(POSITIVE_CONTROL, "labels"), (FLSL_PHOTOS, "FLSL"), (FLSL_SHAPES, "FLSL")]
)
def test_the_weights_that_are_shipped_are_the_demos_network_and_say_how_they_were_made(path, method):
    module, card = load_backbone(path)
    assert tensor_shapes(module.architecture) == tensor_shapes(SMALL_VIT)
    assert method in card.method
    assert path.stat().st_size <= 4 << 20


@pytest.mark.parametrize("wrong", [("--seed", -1), ("--steps", 0), ("--pictures", 0)])
def test_controls_of_no_length_are_refused(wrong, tmp_path):
    done = run_tool("make_controls.py", "--out", tmp_path / "out", *wrong)
    assert done.returncode == 2
    assert done.stderr == "error: --seed must be 0 or more, --steps and --pictures 1 or more\n"
    assert not (tmp_path / "out").exists()


def test_the_demo_runs_on_real_images(sample_data, tmp_path):
    """Photographs in the layouts of the data sets: a dozen of COCO's for the detector's score."""
    root = tmp_path / "data"
    (root / "coco/annotations").mkdir(parents=True)
    for folder in ("davis", "imagenet", "coco/train2017", "coco/val2017"):
        (root / folder).symlink_to(sample_data / folder)
    for split, count in (("train", None), ("val", 12)):
        name = f"instances_{split}2017.json"
        content = json.loads((sample_data / "coco/annotations" / name).read_text())
        content["images"] = content["images"][:count]
        kept = {image["id"] for image in content["images"]}
        content["annotations"] = [a for a in content["annotations"] if a["image_id"] in kept]
        (root / "coco/annotations" / name).write_text(json.dumps(content))
    demo("--data-root", root, "--out", tmp_path / "demo")
    coco = next(r for r in read_results(tmp_path / "demo/records") if r.benchmark == "coco-mask-rcnn")
    assert coco.data["name"] == "coco"
    assert coco.run["val_images"] == 12
