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
from dry_run import dry_run

from benchmarks import data_check, shapes
from benchmarks.errors import InputError
from benchmarks.images import read_rgb
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
    with pytest.raises(InputError, match=r"M0208/img000003.jpg is not a whole image"):
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
    # One row too many for the official set is told; a broken one is a fault, in a file that somebody reads.
    (truth / "M0208_gt_ignore.txt").write_text("1,1,5,5,9,9,1,-1,-1\n" * 266)
    with open(truth / "M0203_gt.txt", "a") as stream:
        stream.write("1,1,5,x,9,9,1,-1,-1\n")
    report = data_check.survey("uavdt", root, check=True)
    assert "M0208: 266 of 265 ignored regions" in report.subset
    assert report.problems == []


def cut(path):
    path.write_bytes(path.read_bytes()[:300])


def rewrite(change):
    def rewritten(frames, truth):
        path = truth / "M0203_gt_whole.txt"
        rows = [change(list(row)) for row in rows_of(path)]
        path.write_text("".join(",".join(map(str, row)) + "\n" for row in rows))

    return rewritten


FAULTS = {
    "corners": (
        rewrite(lambda row: [*row[:4], row[2] + row[4], row[3] + row[5], *row[6:]]), "these look like two corners",
    ),
    "categories": (rewrite(lambda row: [*row[:8], 4]), "categories other than 1, 2 and 3"),
    "a cut row": (rewrite(lambda row: row[:5]), "has 5 columns"),
    "frames beyond": (rewrite(lambda row: [row[0] + 3, *row[1:]]), "the last is 3"),
    "a cut frame": (lambda frames, truth: cut(frames / "M0203/img000002.jpg"), "img000002.jpg is not a whole image"),
    "an empty frame": (lambda frames, truth: (frames / "M0203/img000002.jpg").write_bytes(b""), "is empty"),
    "a missing frame": (lambda frames, truth: (frames / "M0203/img000002.jpg").unlink(), "img000002.jpg is missing"),
    "no regions": (lambda frames, truth: (truth / "M0203_gt_ignore.txt").unlink(), "does not exist"),
    "a frame of another size": (
        lambda frames, truth: cv2.imwrite(str(frames / "M0203/img000002.jpg"), np.zeros((99, 256, 3))), "2 sizes",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_check_and_run_refuse_for_the_same_reason(spoilt, tmp_path, fault):
    root, truth = spoilt
    change, said = FAULTS[fault]
    change(root / "uavdt/UAV-benchmark-M", truth)
    assert any(said in line for line in data_check.survey("uavdt", root, check=True).problems)
    with pytest.raises(InputError, match=said):
        read_as_a_run(root, tmp_path / "test.json")


#: What no dry run sees: it opens no frame but each sequence's first.
ONLY_DECODED = {"a cut frame", "an empty frame", "a frame of another size"}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_dry_run_refuses_for_the_same_reason(spoilt, tmp_path_factory, fault):
    root, truth = spoilt
    change, said = FAULTS[fault]
    change(root / "uavdt/UAV-benchmark-M", truth)
    done = dry_run("uavdt", root, tmp_path_factory.mktemp("out"))
    if fault in ONLY_DECODED:
        assert done.returncode == 0, done.stderr
    else:
        assert done.returncode == 2, done.stdout
        assert said in done.stderr


def read_as_a_run(root, target):
    """Annotation files first, then every image in the engine's loader."""
    data = open_uavdt(root, whole=False)
    write_coco(data, "test", target, progress=False)
    for name, length in data.test.items():
        for number in range(1, length + 1):
            read_rgb(data.frame(name, number))


def test_links_and_strays_are_no_fault(spoilt, tmp_path):
    root, _ = spoilt
    frames = root / "uavdt/UAV-benchmark-M"
    shutil.move(frames / "M0203", root / "elsewhere")
    (frames / "M0203").symlink_to(root / "elsewhere", target_is_directory=True)
    (frames / "M0208/._img000001.jpg").write_bytes(b"\0\5")
    shutil.copytree(frames / "M0208", frames / "M0208/.ipynb_checkpoints")
    assert data_check.survey("uavdt", root, check=True).problems == []
    assert write_coco(open_uavdt(root, whole=False), "test", tmp_path / "test.json", progress=False)["images"] == 6


def test_a_zero_explains_itself(perfect, capsys):
    data, found = perfect
    names = list(data.test)
    assert evaluate(data.ground_truth, found, names).scores()["AP"] > 50
    assert "note" not in capsys.readouterr().err
    for name in names:
        rows = [list(map(float, line.split(","))) for line in (found / f"{name}.txt").read_text().splitlines()]
        corners = [[*row[:4], row[2] + row[4], row[3] + row[5], *row[6:]] for row in rows]
        (found / f"{name}.txt").write_text("".join(",".join(map(str, row)) + "\n" for row in corners))
    assert evaluate(data.ground_truth, found, names).scores()["AP"] == 0
    assert "would with columns 3 to 6 as two corners" in capsys.readouterr().err
    for name in names:
        (found / f"{name}.txt").write_text("")
    assert evaluate(data.ground_truth, found, names).scores()["AP"] == 0
    assert "note: there is no detection at all" in capsys.readouterr().err


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
