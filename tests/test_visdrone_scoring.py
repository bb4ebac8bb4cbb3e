"""The score of VisDrone-DET against a literal transcription of the toolkit's functions, and bad files."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.errors import InputError
from benchmarks.visdrone.dataset import open_split
from benchmarks.visdrone.evaluation import evaluate
from benchmarks.visdrone.rows import write_detections
from benchmarks.visdrone.scoring import IOUS, outside_ignored, score

ROOT = Path(__file__).resolve().parents[1]
NUMBERS = ("AP", "AP50", "AP75", "AR1", "AR10", "AR100", "AR500")


def run_tool(*arguments):
    command = [sys.executable, str(ROOT / "tools" / "evaluate_visdrone.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env={"PYTHONPATH": str(ROOT)})


# The rule, literally: the toolkit's functions, loop by loop, counting from 1 as MATLAB does.


def matlab_round(value):
    return int(np.floor(abs(value) + 0.5)) * (1 if value >= 0 else -1)


def literal_drop(gt, det, height, width):
    """dropObjectsInIgr.m"""
    objects, regions = [g for g in gt if g[5] != 0], [g for g in gt if g[5] == 0]
    if not regions:
        return objects, det
    marked = np.zeros((height + 1, width + 1))
    for region in regions:
        x, y, w, h = (max(1, int(value)) for value in region[:4])
        for row in range(y, min(height, y + h) + 1):
            for column in range(x, min(width, x + w) + 1):
                marked[row, column] = 1
    for i in range(2, height + 1):
        marked[i, 1] += marked[i - 1, 1]
    for j in range(2, width + 1):
        marked[1, j] += marked[1, j - 1]
    for i in range(2, height + 1):
        for j in range(2, width + 1):
            marked[i, j] += marked[i - 1, j] + marked[i, j - 1] - marked[i - 1, j - 1]

    def left(rows):
        kept = []
        for row in rows:
            px, py, w, h = (max(1, matlab_round(value)) for value in row[:4])
            x, y = max(1, min(width, px)), max(1, min(height, py))
            tl, tr = marked[y, x], marked[y, min(width, x + w)]
            bl = marked[max(1, min(height, y + h)), x]
            br = marked[max(1, min(height, y + h)), min(width, x + w)]
            if (tl + br - tr - bl) / (h * w) < 0.5:
                kept.append(row)
        return kept

    return left(objects), left(det)


def literal_overlap(d, g, harmless):
    """compOas.m"""
    w = min(d[0] + d[2], g[0] + g[2]) - max(d[0], g[0])
    if w <= 0:
        return 0.0
    h = min(d[1] + d[3], g[1] + g[3]) - max(d[1], g[1])
    if h <= 0:
        return 0.0
    return w * h / (d[2] * d[3] if harmless else d[2] * d[3] + g[2] * g[3] - w * h)


def literal_match(gt0, dt0, threshold):
    """evalRes.m: truth with 1 for harmless in column 5; the match of each object, score and match of each box."""
    dt = sorted(dt0, key=lambda d: -d[4])
    gt = sorted(gt0, key=lambda g: g[4])
    state, found = [-g[4] for g in gt], []
    for d in dt:
        best, chosen, kind = threshold, None, 0
        for g, row in enumerate(gt):
            if state[g] == 1:
                continue
            if kind != 0 and state[g] == -1:
                break
            overlap = literal_overlap(d, row, row[4] == 1)
            if overlap < best:
                continue
            best, chosen, kind = overlap, g, (1 if state[g] == 0 else -1)
        if kind == 1:
            state[chosen] = 1
        found.append((d[4], kind))
    return state, found


def literal_area(recall, precision):
    """VOCap.m"""
    recall, precision = [0, *recall, 1], [0, *precision, 0]
    for i in range(len(precision) - 2, -1, -1):
        precision[i] = max(precision[i], precision[i + 1])
    steps = [i for i in range(1, len(recall)) if recall[i] != recall[i - 1]]
    return sum((recall[i] - recall[i - 1]) * precision[i] for i in steps)


def literal_score(pictures):
    """saveAnnoRes.m and calcAccuracy.m on (truth, detections, (height, width)), rows as lists."""
    truth, detections = [], []
    for gt, det, (height, width) in pictures:
        gt, det = literal_drop(gt, det, height, width)
        truth.append([[*g[:4], {0: 1, 1: 0}[g[4]], g[5]] for g in gt])
        detections.append(det)
    ap, ar, classes = np.zeros((10, 10)), np.zeros((10, 10, 4)), []
    for number in range(1, 11):
        classes += [number - 1 for gt in truth if any(g[5] == number for g in gt)]
        for x, threshold in enumerate(IOUS):
            for y, most in enumerate((1, 10, 100, 500)):
                objects, found = 0, []
                for gt, det in zip(truth, detections, strict=True):
                    of_class = [g[:5] for g in gt if g[5] == number]
                    state, some = literal_match(of_class, [d[:5] for d in det[:most] if d[5] == number], threshold)
                    objects, found = objects + len(state), found + some
                found.sort(key=lambda pair: -pair[0])
                tp = np.cumsum([kind == 1 for _, kind in found])
                fp = np.cumsum([kind == 0 for _, kind in found])
                recall = tp / max(1, objects)
                if len(recall):
                    ar[number - 1, x, y] = recall.max() * 100
            ap[number - 1, x] = literal_area(recall, tp / np.maximum(1, fp + tp)) * 100
    means = [ap[classes], ap[classes, 0], ap[classes, 5], *(ar[classes, :, y] for y in range(4))]
    return dict(zip(NUMBERS, (float(np.mean(values)) for values in means), strict=True))


def random_case(rng):
    """Few places, few scores, few classes: ties everywhere; boxes of no size, off the picture, inside regions."""
    pictures = []
    for _ in range(int(rng.integers(1, 4))):
        height, width = (int(side) for side in rng.integers(24, 60, 2))

        def boxes(count, step, most=30):
            return (rng.integers(-6, most, (count, 4)) // step * step).astype(float)

        gt = boxes(int(rng.integers(0, 9)), 2)
        gt[:, 2:] = np.abs(gt[:, 2:])
        labels = rng.choice([0, 1, 1, 4, 4, 10, 11], len(gt))
        scores = np.where(labels == 0, 0, rng.random(len(gt)) < 0.8)
        near = gt[rng.integers(0, max(1, len(gt)), int(rng.integers(0, 14)))] if len(gt) else gt
        det = np.concatenate([near + rng.choice([0, 0, 1, 2.5], near.shape), boxes(int(rng.integers(0, 8)), 1)])
        det[:, 2:] = np.abs(det[:, 2:])
        rows = np.column_stack([det, rng.integers(1, 5, len(det)) / 4, rng.choice([1, 4, 4, 10, 11], len(det))])
        rng.shuffle(rows)
        truth = np.column_stack([gt, scores, labels, np.zeros((len(gt), 2))])
        pictures.append((truth, rows, (height, width)))
    return pictures


def test_the_score_equals_the_toolkit_rule_on_random_cases():
    scored = 0
    for seed in range(30):
        pictures = random_case(np.random.default_rng(seed))
        kept = [outside_ignored(*picture) for picture in pictures]
        found = score(kept)
        literal = [(truth.tolist(), rows.tolist(), size) for truth, rows, size in pictures]
        for picture, (truth, rows, size) in zip(kept, literal, strict=True):
            objects, detections = literal_drop(truth, rows, *size)
            assert picture.truth.tolist() == objects, seed
            assert picture.detections.tolist() == detections, seed
        if not found["per_class"]:
            continue  # the toolkit's mean of nothing
        expected = literal_score(literal)
        assert {name: found[name] for name in NUMBERS} == pytest.approx(expected, abs=1e-9), seed
        scored += found["AP"] > 0
    assert scored > 10


def test_first_rows_count_not_best_ones():
    """More than ten detections of a picture, in an order that is not that of their scores."""
    rng = np.random.default_rng(5)
    truth = np.array([[10.0 * i, 0, 8, 8, 1, 1 + i % 3, 0, 0] for i in range(30)])
    rows = np.column_stack([truth[:, :4] + rng.integers(0, 2, (30, 4)), rng.random(30), truth[:, 5]])[::-1]
    rows = np.concatenate([rows] * 20)  # 600 rows
    expected = literal_score([(truth.tolist(), rows.tolist(), (100, 400))])
    found = score([outside_ignored(truth, rows, (100, 400))])
    assert {name: found[name] for name in NUMBERS} == pytest.approx(expected, abs=1e-9)
    assert found["AR1"] < found["AR10"] < found["AR100"]


def test_a_class_counts_once_for_each_picture_that_shows_it():
    car, bus = [0.0, 0, 10, 10, 1, 4, 0, 0], [20.0, 20, 10, 10, 1, 9, 0, 0]
    hit = np.array([[0.0, 0, 10, 10, 0.9, 4]])
    pictures = [(np.array([car]), hit)] * 3 + [(np.array([bus]), hit[:0])]
    found = score([outside_ignored(truth, rows, (40, 40)) for truth, rows in pictures])
    assert found["AP"] == 75
    assert found["class_mean_AP"] == 50
    assert found["per_class"]["car"] == {"AP": 100, "AP50": 100, "objects": 3, "pictures": 3}


@pytest.fixture
def case(tmp_path):
    """Two pictures with a car each, an ignored region, a box of category 11; and detections that find both."""
    for folder in ("val/images", "val/annotations", "found"):
        (tmp_path / folder).mkdir(parents=True)
    for name, left in (("a_1", 4), ("b_2", 10)):
        Image.new("RGB", (64, 48)).save(tmp_path / "val/images" / f"{name}.jpg")
        rows = f"{left},5,20,10,1,4,0,0\n40,30,20,15,0,0,0,0,\n1,1,3,3,0,11,0,0\n"
        (tmp_path / "val/annotations" / f"{name}.txt").write_text(rows)
        (tmp_path / "found" / f"{name}.txt").write_text(f"{left},5,20,10,0.9,4,-1,-1\n45,32,8,8,0.95,4,-1,-1\n")
    return tmp_path


def command(case):
    return run_tool("--ground-truth", case / "val", "--detections", case / "found", "--json", case / "s.json")


def test_the_command_writes_what_it_prints(case):
    done = command(case)
    assert done.returncode == 0, done.stderr
    scores = json.loads((case / "s.json").read_text())
    assert [scores[name] for name in NUMBERS] == [100] * 7
    assert (scores["num_gt"], scores["num_det"], scores["num_ignored"], scores["images"]) == (2, 2, 2, 2)
    assert scores == evaluate(case / "val", case / "found")
    assert "AP                  100.00" in done.stdout
    assert "not sorted by falling score" in done.stderr


FAULTS = {
    "a file is missing": ("found/a_1.txt", None, "lacks 1 of 2 files, such as a_1"),
    "no number": ("found/a_1.txt", "4,5,20,x,0.9,4,-1,-1", "'x' in column 4 is no number"),
    "too few columns": ("found/a_1.txt", "4,5,20,10,0.9", "has 5 columns"),
    "NaN": ("found/b_2.txt", "4,5,20,10,nan,4,-1,-1", "not finite"),
    "negative size": ("found/a_1.txt", "4,5,-20,10,0.9,4", "negative width or height"),
    "a name for a class": ("found/a_1.txt", "4,5,20,10,0.9,car", "'car' in column 6 is no number"),
    "a class that is none": ("found/a_1.txt", "4,5,20,10,0.9,12", "category (column 6) other than 0 to 11"),
    "a score that is none": ("val/annotations/a_1.txt", "4,5,20,10,0.5,4,0,0", "score other than 0 and 1"),
    "a region off the grid": ("val/annotations/a_1.txt", "4.5,5,20,10,0,0,0,0", "not in whole pixels"),
    "two corners": ("val/annotations/a_1.txt", "40,30,60,45,1,4,0,0", "two corners"),
    "an annotation is missing": ("val/annotations/a_1.txt", None, "1 files have no annotation, such as a_1"),
    "a picture is missing": ("val/images/b_2.jpg", None, "1 files have no picture, such as b_2"),
    "a picture is broken": ("val/images/b_2.jpg", "", "b_2.jpg is empty"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_named(case, fault):
    name, text, expected = FAULTS[fault]
    (case / name).unlink() if text is None else (case / name).write_text(text)
    with pytest.raises(InputError, match=re.escape(expected)):
        evaluate(case / "val", case / "found")


def test_all_faulty_files_are_one_line_and_exit_code_2(case):
    for name in ("a_1", "b_2"):
        (case / "found" / f"{name}.txt").write_text("4,5,20,10,nan,4,-1,-1")
    done = command(case)
    assert done.returncode == 2, done.stdout
    assert "2 files are not usable" in done.stderr
    assert done.stderr.count("not finite") == 2
    assert len(done.stderr.splitlines()) == 1
    assert not (case / "s.json").exists()


ZEROS = {
    "corners": ("10,5,30,15,0.9,4", "would with columns 1 to 4 as two corners"),
    "categories from 0": ("10,5,20,10,0.9,3", "would with categories one higher"),
    "category 0": ("10,5,20,10,0.9,0", "1 of 1 detections have category 0"),
    "others": ("10,5,20,10,0.9,11", "have category 11 (others)"),
    "nothing": ("", "there is no detection"),
    "elsewhere": ("30,30,5,5,0.9,4", "overlaps an object of its category"),
}


@pytest.mark.parametrize("zero", ZEROS)
def test_a_zero_explains_itself(case, zero, capsys):
    text, expected = ZEROS[zero]
    (case / "found/a_1.txt").write_text("")
    (case / "found/b_2.txt").write_text(text)
    assert evaluate(case / "val", case / "found")["AP"] == 0
    assert expected in capsys.readouterr().err


def test_truth_as_detections_is_found_whole(case):
    for name, path in open_split(case / "val").annotations.items():
        (case / "found" / f"{name}.txt").write_text(path.read_text())
    assert evaluate(case / "val", case / "found")["AP"] == 100


def test_written_detections_fall_in_score(tmp_path):
    boxes = np.array([[1.0, 2, 3, 4], [5, 6, 7.25, 8]])
    write_detections(tmp_path / "a.txt", boxes, np.array([0.25, 0.5]), np.array([1, 10]))
    assert (tmp_path / "a.txt").read_text() == "5.0,6.0,7.25,8.0,0.5,10,-1,-1\n1.0,2.0,3.0,4.0,0.25,1,-1,-1\n"
