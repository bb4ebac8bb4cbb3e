"""VisDrone-DET as a task: its layout, the check of a copy, and a real training run whose score is that of its files."""

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from dry_run import dry_run

from benchmarks import data_check, shapes
from benchmarks.controls import write_random_control
from benchmarks.core.tasks import task_named
from benchmarks.errors import InputError
from benchmarks.visdrone.dataset import open_split, open_visdrone, write_coco
from benchmarks.visdrone.detections import score_pictures
from benchmarks.visdrone.options import MINI
from benchmarks.visdrone.rows import BOX, read_annotation

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    root = tmp_path_factory.mktemp("visdrone")
    shapes.write_visdrone(root, train_clips=1, val_clips=1, frames=4, height=144, width=256, seed=0)
    return root


@pytest.fixture
def data(world, tmp_path):
    """A copy of the world, to spoil."""
    return shutil.copytree(world, tmp_path / "data")


def tool(*words):
    command = [sys.executable, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env={"PYTHONPATH": str(ROOT)})


def test_a_run_trains_detects_and_scores_what_it_wrote(data, tmp_path):
    pytest.importorskip("mmcv.ops", reason="needs mmcv with its operators")
    from benchmarks.visdrone.run import run

    write_random_control(tmp_path / "random.safetensors", seed=0)
    options = dataclasses.replace(MINI, epochs=1, long_side=128, short_side=96, validate_every=1, per_device=1)
    opened = open_visdrone(data, whole=False)
    found = run(tmp_path / "random.safetensors", opened, tmp_path / "out", "mini", options, progress=False)
    words = ["--ground-truth", opened.val.folder, "--detections", tmp_path / "out/detections"]
    done = tool("tools/evaluate_visdrone.py", *words, "--json", tmp_path / "scores.json")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "scores.json").read_text()) == found["metrics"]
    assert found["metrics"]["num_det"] > 0
    assert found["run"]["iterations"] == 2  # updates: of two passes each
    assert found["run"]["train"]["objects"] > found["run"]["train"]["regions"] >= 0


def test_truth_through_the_engine_s_form_scores_100(data):
    split = open_visdrone(data, whole=False).val
    found = []
    for name, path in split.images.items():
        rows = read_annotation(split.annotations[name])
        rows = rows[rows[:, 4] == 1]
        corners = rows[:, BOX].astype(np.float32)
        corners[:, 2:] += corners[:, :2]
        found.append((str(path), corners, np.full(len(rows), 0.5, np.float32), rows[:, 5].astype(int) - 1))
    scores = score_pictures(split.folder, found, data / "found")
    assert scores["AP"] == 100
    assert scores["num_ignored"] + scores["num_det"] == sum(len(one[2]) for one in found)


def test_every_row_becomes_an_annotation(data):
    split = open_split(data / "visdrone/VisDrone2019-DET-train")
    first = split.annotations[split.names[0]]
    first.write_text("1,2,30,40,1,1,0,0\n5,6,7,8,1,10,0,0\n3,3,0,9,1,4,0,0\n1,1,9,9,0,0,0,0\n2,2,9,9,0,11,1,2\n")
    counts = write_coco(split, data / "train.json")
    coco = json.loads((data / "train.json").read_text())
    rows = [one for one in coco["annotations"] if one["image_id"] == 1]
    assert [(one["category_id"], one["iscrowd"]) for one in rows] == [(1, 0), (10, 0), (4, 0), (1, 1), (1, 1)]
    assert rows[0]["bbox"] == [1, 2, 30, 40]
    assert len(coco["categories"]) == 10
    assert counts["images"] == counts["annotated"] == 4
    assert counts["objects"] + counts["regions"] == len(coco["annotations"])


def test_a_whole_copy_passes_the_check(data):
    report = data_check.survey("visdrone", data, check=True)
    assert (report.problems, report.missing) == ([], [])
    assert report.found["train pictures"] == 4
    assert "train pictures: 4 of 6471" in report.subset


TEXT = "visdrone/VisDrone2019-DET-train/annotations/0000001_00001_d_0000001.txt"
PICTURE = "visdrone/VisDrone2019-DET-val/images/0000051_00002_d_0000002.jpg"
FAULTS = {
    "missing annotation": (TEXT, None, "1 files have no annotation"),
    "missing picture": (PICTURE, None, "1 files have no picture"),
    "empty picture": (PICTURE, "", "is empty"),
    "a name as category": (TEXT, "1,1,9,9,1,car,0,0", "'car' in column 6"),
    "columns missing": (TEXT, "1,1,9,9,1,4", "has 6 columns"),
    "corners": (TEXT, "200,100,250,140,1,4,0,0", "two corners"),
    "all of category 12": (TEXT, "1,1,9,9,1,12,0,0", "other than 0 to 11"),
    "UTF-16": (TEXT, "1,1,9,9,1,4,0,0".encode("utf-16"), "no text file of numbers"),
    "nothing left": (None, "1,1,9,0,1,4,0,0\n1,1,9,9,0,4,0,0\n2,2,5,5,0,0,0,0", "there is no object"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_check_and_run_refuse_alike(data, fault):
    place, content, expected = FAULTS[fault]
    for path in [data / place] if place else data.glob("visdrone/*train/annotations/*.txt"):
        path.unlink() if content is None else path.write_bytes(
            content if isinstance(content, bytes) else content.encode()
        )
    problems = data_check.survey("visdrone", data, check=True).problems
    assert any(expected in problem for problem in problems), problems
    task = task_named("visdrone-faster-rcnn")
    with pytest.raises(InputError, match=expected):
        task.open(data, "mini", task.settings("mini"))


@pytest.mark.parametrize("text", ["", "1,1,9,9,1,4,0,0,\r\n", "\ufeff1,1,9,9,1,4,0,0\n\n"])
def test_check_and_run_take_alike(data, text):
    (data / TEXT).write_text(text, encoding="utf-8")
    assert data_check.survey("visdrone", data, check=True).problems == []
    task = task_named("visdrone-faster-rcnn")
    assert task.open(data, "mini", task.settings("mini")).train.names


def test_a_dry_run_refuses_what_the_check_refuses(data, tmp_path):
    done = dry_run("visdrone-faster-rcnn", data, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "4 training, 4 validation pictures" in done.stdout
    (data / TEXT).write_text("1,1,9,9,1,4")
    done = dry_run("visdrone-faster-rcnn", data, tmp_path)
    assert done.returncode == 2, done.stdout
    assert "has 6 columns" in done.stderr
