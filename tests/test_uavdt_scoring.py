"""The score of UAVDT against the toolkit's own functions, a literal transcription of its rule, and bad files."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.errors import InputError
from benchmarks.uavdt import scoring
from benchmarks.uavdt.evaluation import Ground, Outcomes, evaluate
from benchmarks.uavdt.rows import read_rows, write_detections
from benchmarks.uavdt.sequences import ATTRIBUTES, ROWS, TEST_FRAMES, TRAIN_SEQUENCES, WITHOUT_IGNORE_STEP

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(__file__).resolve().parent / "data"
CASE = DATA / "uavdt_case"
NUMBERS = ("AP", "num_gt", "num_det", "tp")


@pytest.fixture
def case(tmp_path):
    """A copy of the synthetic case, to spoil."""
    return shutil.copytree(CASE, tmp_path / "case")


def run_tool(*arguments):
    command = [sys.executable, str(ROOT / "tools" / "evaluate_uavdt.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env={"PYTHONPATH": str(ROOT)})


# The rule, literally: loops over frames, detections and objects, as the toolkit has them.


def literal_score(cases, threshold=0.7):
    """AP, objects, detections and hits of ``[(name, length, truth, regions, detections)]``; rows are tuples."""
    matched, objects = [], 0
    for name, length, truth, regions, detections in cases:
        if name not in ("M0209", "M0801"):
            for frame, x, y, w, h in regions:
                detections = [
                    d
                    for d in detections
                    if not (d[0] == frame and d[1] > x and d[2] > y and d[1] + d[3] < x + w and d[2] + d[4] < y + h)
                ]
        for frame in range(1, length + 1):
            gt = [t for t in truth if t[0] == frame]
            dt = sorted((d for d in detections if d[0] == frame), key=lambda d: -d[5])
            taken = [False] * len(gt)
            for d in dt:
                best, chosen = threshold, None
                for g, t in enumerate(gt):
                    if taken[g]:
                        continue
                    overlap = literal_overlap(d, t)
                    if overlap < best:
                        continue
                    best, chosen = overlap, g
                if chosen is not None:
                    taken[chosen] = True
                matched.append((d[5], chosen is not None))
            objects += len(gt)
    matched.sort(key=lambda m: -m[0])
    recall, precision, tp, fp = [0.0], [0.0], 0, 0
    for _, hit in matched:
        tp, fp = tp + hit, fp + (not hit)
        recall.append(tp / max(1, objects))
        precision.append(tp / max(1, tp + fp))
    recall.append(1.0)
    precision.append(0.0)
    for i in reversed(range(len(precision) - 1)):
        precision[i] = max(precision[i], precision[i + 1])
    area = sum((recall[i] - recall[i - 1]) * precision[i] for i in range(1, len(recall)) if recall[i] != recall[i - 1])
    return 100 * area, objects, len(matched), tp


def literal_overlap(d, t):
    w = min(d[1] + d[3], t[1] + t[3]) - max(d[1], t[1])
    h = min(d[2] + d[4], t[2] + t[4]) - max(d[2], t[2])
    if w <= 0 or h <= 0:
        return 0.0
    return w * h / (d[3] * d[4] + t[3] * t[4] - w * h)


def random_case(rng):
    """A few sequences on a small canvas of whole and of odd numbers, where everything ties with everything."""
    cases = []
    for name in rng.choice(["M0203", "M0205", "M0209", "M0801", "own"], rng.integers(1, 4), replace=False):
        length, scale = int(rng.integers(1, 5)), rng.choice([1.0, 0.1, 1 / 3])

        def boxes(count, last, scale=scale):
            corners = rng.integers(0, 8, (count, 2))
            return np.c_[rng.integers(1, last + 1, count), scale * corners, scale * rng.integers(0, 12, (count, 2))]

        truth = boxes(rng.integers(0, 12), length)
        regions = boxes(rng.integers(0, 4), length) * [1, 1, 1, 2, 2]
        near = truth[rng.integers(0, len(truth), 3 * len(truth))] if len(truth) else truth
        near = near * [1, 1, 1, 1, 0.7] if rng.random() < 0.3 else near
        # Some rows lie after the last frame.
        detections = np.concatenate([near, boxes(rng.integers(0, 15), length + 2)])
        detections = rng.permutation(detections)
        scores = rng.choice([0.0, 0.25, 0.5, 0.9], len(detections))
        cases.append((str(name), length, truth, regions, np.c_[detections, scores]))
    return sorted(cases, key=lambda c: c[0])


def fast_score(cases):
    outcomes = Outcomes({scoring.OFFICIAL_IOU: {}})
    for name, length, truth, regions, rows in cases:
        regions = regions[:0] if name in WITHOUT_IGNORE_STEP else regions
        outcomes.add(Ground(name, truth, regions, length), rows[:, :5], rows[:, 5])
    return outcomes.scores()


def test_500_random_cases_equal_the_literal_rule(monkeypatch):
    rng = np.random.default_rng(0)
    hits = 0
    for index in range(500):
        monkeypatch.setattr(scoring, "_PAIRS", int(rng.integers(1, 60)))  # blocks of every size
        cases = random_case(rng)
        ours = fast_score(cases)
        ap, *counts = literal_score([(n, length, *(a.tolist() for a in arrays)) for n, length, *arrays in cases])
        assert [ours[key] for key in NUMBERS[1:]] == counts, f"case {index}"
        assert ours["AP"] == pytest.approx(ap, abs=1e-9), f"case {index}"
        hits += ours["tp"]
    assert hits > 1000  # the cases are not empty


def test_the_recorded_score_of_real_detections(sample_data):
    expected = json.loads((DATA / "uavdt_ap_M0208_spotnet.json").read_text())
    root = sample_data / "uavdt"
    scores = evaluate(root, root / "results" / "SpotNet", ["M0208"]).scores()
    assert scores["AP"] == pytest.approx(expected["ap"], abs=1e-9)
    assert [scores[key] for key in NUMBERS[1:]] == [expected[key] for key in NUMBERS[1:]]


def test_a_synthetic_case_scores_as_the_toolkits_functions_in_octave(tmp_path):
    done = run_tool(
        "--ground-truth", CASE, "--detections", CASE / "detections", "--sequences", "M0801,M0203,M0208",
        "--json", tmp_path / "scores.json", "--iou", "0.5", "--coco",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    scores = json.loads((tmp_path / "scores.json").read_text())
    found = {"all": scores, **scores["per_sequence"], **scores["attributes"]}
    for group, expected in json.loads((CASE / "octave.json").read_text()).items():
        assert [found[group][key] for key in NUMBERS[1:]] == [expected[key] for key in NUMBERS[1:]], group
        assert found[group]["AP"] == pytest.approx(expected["AP"], abs=1e-9), group
    assert scores["attributes"]["low"]["sequences"] == ["M0203", "M0801"]
    assert "fog" not in scores["attributes"]
    assert not scores["whole_test_set"]
    assert scores["unofficial"]["AP at IoU 0.5"] > scores["AP"]
    assert "not official: COCO-style" in done.stdout


def one_frame(truth, regions, detections, scores):
    def rows(boxes):
        return np.array([(1, *box) for box in boxes], float).reshape(-1, 5)

    return fast_score([("own", 1, rows(truth), rows(regions), np.c_[rows(detections), scores])])


@pytest.mark.parametrize(
    ("box", "left"),
    [
        ((1, 1, 8, 8), 0),  # strictly inside
        ((0, 1, 8, 8), 1),  # touches one edge
        ((1, 1, 9, 8), 1),
        ((1, 1, 8, 9), 1),
        ((0, 0, 10, 10), 1),  # equal
        ((8, 1, 6, 6), 1),  # in two regions together, in neither alone
    ],
)
def test_only_strict_containment_in_one_region_is_ignored(box, left):
    assert one_frame([], [(0, 0, 10, 10), (10, 0, 10, 10)], [box], [0.5])["num_det"] == left


def test_an_overlap_of_exactly_the_threshold_counts():
    assert one_frame([(0, 0, 10, 10)], [], [(0, 0, 10, 7)], [0.5])["tp"] == 1
    assert one_frame([(0, 0, 10, 10)], [], [(0, 0, 10, 6.999)], [0.5])["tp"] == 0


def test_among_equal_overlaps_the_later_object_is_taken():
    # The first detection overlaps both objects alike; the second fits only the first object.
    twins = [(0, 0, 10, 10), (2, 0, 10, 10)]
    assert one_frame(twins, [], [(1, 0, 10, 10), (0, 0, 10, 10)], [0.9, 0.5])["tp"] == 2
    assert one_frame(twins[::-1], [], [(1, 0, 10, 10), (0, 0, 10, 10)], [0.9, 0.5])["tp"] == 1


def test_an_object_counts_once_and_ignored_objects_stay_in_the_recall():
    doubled = one_frame([(0, 0, 10, 10)], [], [(0, 0, 10, 10)] * 3, [0.5, 0.5, 0.4])
    assert (doubled["tp"], doubled["num_det"], doubled["AP"]) == (1, 3, 100.0)
    hidden = one_frame([(2, 2, 5, 5)], [(0, 0, 10, 10)], [(2, 2, 5, 5)], [0.9])
    assert (hidden["num_gt"], hidden["num_det"], hidden["AP"]) == (1, 0, 0.0)


def test_the_area_is_that_under_every_step():
    # hit, miss, hit of 4 objects: 1/4 at precision 1, 1/4 at 2/3, and nothing beyond recall 1/2.
    truth = [(20 * k, 0, 10, 10) for k in range(4)]
    scores = one_frame(truth, [], [truth[0], (200, 0, 9, 9), truth[1]], [0.9, 0.8, 0.7])
    assert scores["AP"] == pytest.approx(100 * (0.25 + 0.25 * 2 / 3))


def test_the_official_facts():
    assert sum(TEST_FRAMES.values()) == 16_592
    assert len(TEST_FRAMES) == 20
    assert len(TRAIN_SEQUENCES) == 30
    assert sum(objects for objects, _ in ROWS.values()) == 798_795
    assert sum(regions for _, regions in ROWS.values()) == 90_387
    for parts in (("day", "night", "fog"), ("low", "medium", "high")):
        assert sorted(name for part in parts for name in ATTRIBUTES[part]) == sorted(TEST_FRAMES)


def test_empty_files_and_names_of_ones_own(case):
    for path in (case / "GT").glob("M0203*"):
        path.rename(path.with_name(path.name.replace("M0203", "own")))
    shutil.move(case / "detections/M0203.txt", case / "detections/own.txt")
    # An unknown sequence has no length, so no row of it can be beyond it.
    with open(case / "detections/own.txt", "a") as stream:
        stream.write("99999,-1,0,0,5,5,0.5\n".replace("\n", ",1,-1\n"))
    (case / "detections/M0208.txt").write_text("")
    (case / "GT/M0208_gt_ignore.txt").write_text("\n")
    scores = evaluate(case, case / "detections", ["own", "M0208"]).scores()
    assert scores["per_sequence"]["M0208"] == {"AP": 0.0, "num_gt": 30, "num_det": 0, "tp": 0}
    assert scores["per_sequence"]["own"]["num_det"] == 86


def test_the_ignore_files_of_two_sequences_are_not_read(case):
    (case / "GT/M0801_gt_ignore.txt").unlink()
    assert evaluate(case, case / "detections", ["M0801"]).scores()["num_ignored"] == 0


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("3,-1,1,2,3,4", "row 2 has 6 columns instead of 9: 3,-1,1,2,3,4"),
        ("3,-1,1,2,3,4,0.5,1", "row 2 has 8 columns instead of 9"),
        ("3,-1,1,2,three,4,0.5,1,-1", "row 2: 'three' in column 5 is no number"),
        ("3,-1,1,2,,4,0.5,1,-1", "row 2: '' in column 5 is no number"),
        ("3,-1,1,2,-3,4,0.5,1,-1", "row 2 has a negative width or height: 3,-1,1,2,-3,4,0.5,1,-1"),
        ("3,-1,1,2,3,4,nan,1,-1", "row 2 holds a value that is not finite"),
        ("3,-1,1,inf,3,4,0.5,1,-1", "row 2 holds a value that is not finite"),
        ("0,-1,1,2,3,4,0.5,1,-1", "row 2 has no frame number"),
        ("2.5,-1,1,2,3,4,0.5,1,-1", "row 2 has no frame number"),
        ("1008,-1,1,2,3,4,0.5,1,-1", "row 2 is of frame 1008, the last is 1007"),
        ("3,-1,1,2,3,4,0.5,1,-1é", "is no text file of numbers"),
    ],
)
@pytest.mark.parametrize("file", ["detections/M0203.txt", "GT/M0203_gt_whole.txt"])
def test_a_bad_row_is_named_with_its_file(case, file, line, message):
    path = case / file
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], line, *lines[1:]]), encoding="utf-8")
    with pytest.raises(InputError) as caught:
        evaluate(case, case / "detections", ["M0203"])
    assert str(caught.value).startswith(str(path))
    assert message in str(caught.value)


def test_blank_lines_do_not_shift_the_row_that_is_named(case):
    path = case / "detections/M0203.txt"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(["", lines[0], "  ", lines[1], "4,-1,1,2,-1,4,0.5,1,-1"]))
    with pytest.raises(InputError, match="row 5 has a negative"):
        evaluate(case, case / "detections", ["M0203"])


def test_a_short_first_row_is_the_one_that_is_named(case):
    path = case / "detections/M0203.txt"
    lines = path.read_text().splitlines()
    for rows in (["1,-1,2,2,5,5", *lines], ["1,-1,2,2,5,5"] * 3):
        path.write_text("\n".join(rows))
        with pytest.raises(InputError, match=r"M0203\.txt, row 1 has 6 columns"):
            evaluate(case, case / "detections", ["M0203"])


def test_rows_beyond_the_length_are_left_out_when_asked(case):
    before = evaluate(case, case / "detections", ["M0203"]).scores()
    for file in ("detections/M0203.txt", "GT/M0203_gt_whole.txt"):
        with open(case / file, "a") as stream:
            stream.write("1008,-1,1,2,3,4,0.5,1,-1\n")
    after = evaluate(case, case / "detections", ["M0203"], drop_beyond=True).scores()
    assert after == {**before, "num_beyond": 1}


def test_white_space_and_byte_order_marks_read_alike(tmp_path):
    text = "1,-1,2.5,3,4,5,0.5\n2,-1,2,3,4,5,1e-3\n"
    (tmp_path / "a").write_text(text)
    (tmp_path / "b").write_bytes(b"\xef\xbb\xbf" + text.replace(",", " \t").replace("\n", "\r\n").encode())
    (tmp_path / "c").write_text(text.replace(",", ", ") + "   \n")
    a, b, c = (read_rows(tmp_path / name, 7, "file") for name in "abc")
    assert a.tolist() == b.tolist() == c.tolist() == [[1, -1, 2.5, 3, 4, 5, 0.5], [2, -1, 2, 3, 4, 5, 0.001]]


def test_what_is_written_reads_back_to_the_last_bit(tmp_path):
    rng = np.random.default_rng(0)
    frames, boxes, scores = rng.integers(1, 9, 50), rng.uniform(-3, 1e3, (50, 4)), rng.random(50)
    boxes[:, 2:] = abs(boxes[:, 2:])
    write_detections(tmp_path / "x.txt", frames, boxes, scores)
    rows = read_rows(tmp_path / "x.txt", 7, "file")
    assert (rows[:, 0] == frames).all()
    assert (rows[:, 2:6] == boxes).all()
    assert (rows[:, 6] == scores).all()


def test_missing_sequences_end_the_command_with_one_line(tmp_path):
    whole = run_tool("--ground-truth", CASE / "GT", "--detections", CASE / "detections", "--json", tmp_path / "x.json")
    assert whole.returncode == 2
    assert whole.stderr.count("\n") == 1
    assert "sequence M0205" in whole.stderr
    assert "--sequences" in whole.stderr
    assert not (tmp_path / "x.json").exists()
    for arguments, words in (
        (["--sequences", "M0203,M9999"], "M9999_gt_whole.txt"),
        (["--sequences", "M0203,M0203"], "name each once"),
        (["--sequences", "M0203", "--iou", "70"], "--iou"),
    ):
        done = run_tool("--ground-truth", CASE / "GT", "--detections", CASE / "detections", *arguments)
        assert done.returncode == 2
        assert words in done.stderr


def test_scoring_needs_numpy_only():
    code = (
        "import sys, benchmarks.uavdt.evaluation\n"
        "known = set(sys.stdlib_module_names) | {'numpy', 'benchmarks', '__main__', 'sitecustomize'}\n"
        "print([m for m in sys.modules if m.split('.')[0] not in known and not m.startswith(('_', 'mmcv'))])"
    )
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, cwd=ROOT,
                          env={"PYTHONPATH": f"{ROOT}:{Path(np.__file__).parents[1]}"})  # fmt: skip
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
