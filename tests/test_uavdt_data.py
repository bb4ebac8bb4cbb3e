"""UAVDT's layout, its COCO annotation files, the check of a copy on disk, and the pictures."""

import json
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks import data_check, shapes
from benchmarks.errors import InputError
from benchmarks.uavdt.dataset import open_uavdt, write_coco
from benchmarks.uavdt.evaluation import evaluate, read_ground
from benchmarks.uavdt.pictures import COLOURS, attribute_panels, write_curves, write_frames
from benchmarks.uavdt.rows import write_detections

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    root = tmp_path_factory.mktemp("uavdt")
    shapes.write_uavdt(root, ("M0101", "M0203", "M0208"), frames=3, height=144, width=256, seed=0)
    return root


@pytest.fixture
def spoilt(world, tmp_path):
    """A copy to spoil, and its text files."""
    shutil.copytree(world, tmp_path / "copy")
    return tmp_path / "copy", tmp_path / "copy/uavdt/UAV-benchmark-MOTD_v1.0/GT"


@pytest.fixture
def perfect(world, tmp_path):
    """The objects of the test sequences as detections, the first of each sequence left out."""
    data = open_uavdt(world, whole=False)
    for name in data.test:
        truth = read_ground(data.ground_truth, name).truth[1:]
        scores = np.linspace(0.9, 0.5, len(truth))
        write_detections(tmp_path / "found" / f"{name}.txt", truth[:, 0].astype(int), truth[:, 1:], scores)
    return data, tmp_path / "found"


def rows_of(path):
    return [tuple(map(int, line.split(","))) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("classes", [3, 1])
def test_no_object_and_no_region_is_lost(world, tmp_path, classes):
    data = open_uavdt(world, whole=False)
    counts = write_coco(data, "test", tmp_path / "test.json", classes, progress=False)
    coco = json.loads((tmp_path / "test.json").read_text())
    images = {image["id"]: (image["sequence"], image["frame"]) for image in coco["images"]}
    assert sorted(images.values()) == [(name, frame) for name in ("M0203", "M0208") for frame in (1, 2, 3)]
    assert all((data.path / image["file_name"]).is_file() for image in coco["images"])
    for crowd, suffix, total in ((0, "_gt_whole", counts["objects"]), (1, "_gt_ignore", counts["regions"])):
        found = Counter(
            (*images[a["image_id"]], a["target"], *map(int, a["bbox"]), a["category_id"])
            for a in coco["annotations"]
            if a["iscrowd"] == crowd
        )
        expected = Counter()
        for name in data.test:
            for row in rows_of(data.ground_truth / f"{name}{suffix}.txt"):
                category = row[8] if classes == 3 and not crowd else 1
                expected[(name, *row[:6], category)] += 1
        assert found == expected
        assert total == sum(expected.values()) > 0
    assert [c["name"] for c in coco["categories"]] == (["car", "truck", "bus"] if classes == 3 else ["vehicle"])


def test_a_frame_without_objects_is_an_image(spoilt, tmp_path):
    root, truth = spoilt
    for path in truth.glob("M0203*"):
        path.write_text("".join(line for line in path.read_text().splitlines(True) if not line.startswith("2,")))
    counts = write_coco(open_uavdt(root, whole=False), "test", tmp_path / "test.json", progress=False)
    assert (counts["images"], counts["annotated"]) == (6, 5)


def test_faults_of_the_layout_are_named(spoilt, tmp_path):
    root, truth = spoilt
    frames = root / "uavdt/UAV-benchmark-M"
    with pytest.raises(InputError, match="lacks 29 of 30 training sequences, such as M0201"):
        open_uavdt(root)
    data = open_uavdt(root, whole=False)
    with open(truth / "M0203_gt_whole.txt", "a") as stream:
        stream.write("4,1,5,5,10,10,1,1,1\n")
    with pytest.raises(InputError, match=r"M0203_gt_whole.txt, row \d+ is of frame 4, the last is 3: 4,1,5"):
        write_coco(data, "test", tmp_path / "test.json", progress=False)
    (truth / "M0203_gt_whole.txt").write_text("1,1,5,5,10,10,1,1,4\n")
    with pytest.raises(InputError, match="categories other than 1, 2 and 3"):
        write_coco(data, "test", tmp_path / "test.json", progress=False)
    (frames / "M0208/img000003.jpg").write_bytes(b"no picture")
    (truth / "M0203_gt_whole.txt").write_text("1,1,5,5,10,10,1,1,3\n")
    with pytest.raises(InputError, match=r"M0208/img000003.jpg is no image"):
        write_coco(data, "test", tmp_path / "test.json", progress=False)
    (frames / "M0101/img000002.jpg").unlink()
    with pytest.raises(InputError, match=r"M0101/img000002.jpg is missing"):
        open_uavdt(root, whole=False)
    assert not (tmp_path / "test.json").exists()


def test_the_check_counts_and_compares(spoilt):
    root, truth = spoilt
    report = data_check.survey("uavdt", root, check=True)
    objects = sum(len(rows_of(path)) for path in truth.glob("*_gt_whole.txt"))
    assert report.found["objects"] == objects
    assert report.problems == []
    assert f"M0203: {len(rows_of(truth / 'M0203_gt_whole.txt'))} of 5619 objects" in report.subset
    # One row too many for the official set is a fault, and so is a broken one.
    (truth / "M0208_gt_ignore.txt").write_text("1,1,5,5,9,9,1,-1,-1\n" * 266)
    with open(truth / "M0203_gt.txt", "a") as stream:
        stream.write("1,1,5,x,9,9,1,-1,-1\n")
    problems = data_check.survey("uavdt", root, check=True).problems
    assert "M0208: 266 of 265 ignored regions" in problems
    assert any("M0203_gt.txt, row" in line and "'x' in column 4" in line for line in problems)


def test_the_official_sample_has_the_official_counts(sample_data):
    report = data_check.survey("uavdt", sample_data / "uavdt", check=True)
    assert report.found["objects"] == 5619 + 790
    assert not any("M0203" in line or "M0208" in line for line in (*report.subset, *report.problems))


def test_pictures_show_what_was_found_and_missed(perfect, tmp_path):
    data, found = perfect
    write_frames(tmp_path / "frames.png", data, found, [("M0203", 1), ("M0203", 2), ("M0208", 1)])
    sheet = cv2.imread(str(tmp_path / "frames.png"))
    left, right = sheet[40:400, :640], sheet[40:400, 640:]

    def has(picture, name):
        return (picture == COLOURS[name]).all(axis=2).sum() > 20

    assert sheet.shape[1] == 1280
    assert has(left, "object missed")  # the one that was left out is in frame 1
    assert not has(right, "object missed")
    assert all(has(right, name) for name in ("hit", "ignored region"))
    assert not has(right, "false alarm")
    curves = evaluate(data.ground_truth, found, list(data.test)).curves()
    panels = attribute_panels(curves)
    assert list(panels) == ["test set", "light", "altitude", "view"]
    assert list(panels["light"]) == ["day", "night"]
    write_curves(tmp_path / "curves.png", panels)
    assert cv2.imread(str(tmp_path / "curves.png")).shape[1] > 1500


def test_the_command_draws_curves(perfect, tmp_path):
    data, found = perfect
    command = [sys.executable, str(ROOT / "tools/evaluate_uavdt.py"), "--ground-truth", str(data.path)]
    command += ["--detections", str(found), "--sequences", "M0203,M0208", "--curves", str(tmp_path / "curves.png")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env={"PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "curves.png").stat().st_size > 1000
