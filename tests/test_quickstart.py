"""The demo at the smallest size, as a user runs it: from nothing to records, pictures and one table."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from benchmarks.backbones import load_backbone
from benchmarks.controls import POSITIVE_CONTROL, SMALL_VIT
from benchmarks.core.result import read_results

ROOT = Path(__file__).resolve().parents[1]


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
        (name, benchmark)
        for name in ("flsl", "random", "supervised")
        for benchmark in ("coco-mask-rcnn", "davis", "knn")
    ]
    assert len(json.loads((tmp_path / "records.json").read_text())) == 9
    assert {r.scale for r in records} == {"mini"}
    assert {r.protocol for r in records if r.benchmark == "davis"} == {"davis2017-192p (mini), 16 frames"}
    assert {r.checkpoint["card"]["method"] for r in records if r.name == "flsl"} == {"FLSL"}
    assert all(line in printed for line in ("not a reproduction of the paper", "seeds in which supervised beats"))
    for name in ("random", "flsl", "supervised"):
        row = next(line for line in printed.splitlines() if line.startswith(name))
        assert len(row.split()) == 8
    pictures = sorted((out / "seed0/pictures").glob("*.png"))
    assert [p.stem.partition("-seed0-")[0] for p in pictures] == [
        "attention", "davis", *(f"detections-{n}-coco-mask-rcnn" for n in ("flsl", "random", "supervised")), "losses",
    ]  # fmt: skip
    for picture in pictures:
        assert cv2.imread(str(picture)).std() > 10


def test_the_positive_control_is_the_demos_network_and_says_how_it_was_made():
    module, card = load_backbone(POSITIVE_CONTROL)
    assert module.architecture == SMALL_VIT
    assert "labels" in card.method
    assert POSITIVE_CONTROL.stat().st_size <= 4 << 20


def test_the_demo_runs_on_real_images(sample_data, tmp_path):
    demo("--data-root", sample_data, "--out", tmp_path / "demo")
    coco = next(r for r in read_results(tmp_path / "demo/records") if r.benchmark == "coco-mask-rcnn")
    assert coco.data["name"] == "coco"
    assert coco.run["val_images"] == 79
