"""Faster R-CNN on UAVDT: a real training run whose score is that of its files, the metric, and Table 3."""

import dataclasses
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from results import result
from tables_in_process import job_names, run_table

from benchmarks import shapes
from benchmarks.controls import write_random_control
from benchmarks.errors import InputError
from benchmarks.tables import paper
from benchmarks.tables.render import render, sheet
from benchmarks.tables.table3 import TABLE
from benchmarks.uavdt.dataset import open_uavdt
from benchmarks.uavdt.detections import FrameDetections, score_frames
from benchmarks.uavdt.evaluation import read_ground
from benchmarks.uavdt.intervals import resampled
from benchmarks.uavdt.options import Options
from benchmarks.uavdt.scoring import Outcome, precision_recall

ROOT = Path(__file__).resolve().parents[1]
QUICK = ["--epochs", 1, "--long-side", 128, "--short-side", 96, "--batch", 2]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("uavdt")
    shapes.write_uavdt(root, ("M0101", "M0203", "M0208"), frames=4, height=144, width=256, seed=0)
    return open_uavdt(root, whole=False)


@pytest.fixture
def control(tmp_path):
    write_random_control(tmp_path / "random.safetensors", seed=0)
    return tmp_path / "random.safetensors"


def tool(name, *arguments):
    command = [sys.executable, str(ROOT / "tools" / name), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env={"PYTHONPATH": str(ROOT)})


def test_a_run_trains_detects_and_scores_what_it_wrote(data, control, tmp_path, monkeypatch):
    pytest.importorskip("mmcv.ops", reason="needs mmcv with its operators")
    options = ["--chips", "even", "--ignored-regions", "masked", "--nms", "pooled", "--validate-every", 1]
    monkeypatch.setattr("tqdm.std.tqdm.display", lambda *args, **kwargs: None)
    out = tmp_path / "out"
    words = ["--checkpoint", f"random={control}", "--data-root", data.path.parent, "--out", out, "--scale", "mini"]
    printed = run_table("table3.py", *words, "--seeds", 3, *QUICK, *options)
    assert printed.returncode == 0, printed.stderr
    (folder,) = out.glob("random-uavdt-seed3-*")
    losses = [json.loads(line) for line in (folder / "losses.jsonl").read_text().splitlines()]
    assert [line["iteration"] for line in losses] == [1, 2]
    assert {"loss_rpn_cls", "loss_cls", "loss_bbox"} <= losses[0].keys()
    (record,) = (json.loads(path.read_text()) for path in (out / "records").glob("*.json"))
    assert record["run"]["options"]["chips"] == {
        "value": "even",
        "paper_scale": "none",
        "reason": Options.__dataclass_fields__["chips"].metadata["help"],
    }
    assert record["run"]["options"]["score_threshold"]["value"] == 0.001
    assert record["metrics"]["num_det"] + record["metrics"]["num_ignored"] > 0
    # The tool gives the same on the files.
    detections = folder / "detections"
    done = tool("evaluate_uavdt.py", "--ground-truth", data.ground_truth, "--detections", detections,
                "--sequences", "M0203,M0208", "--json", tmp_path / "scores.json")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "scores.json").read_text()) == record["metrics"]
    assert record["interval"]["over"] == "sequences"
    assert record["artefacts"] == folder.name
    assert "random" in printed.stdout
    assert "mini: no reproduction" in printed.stdout
    assert (out / f"pictures/frames-{folder.name}.png").is_file()
    # Other options are another job, which must not go on from this one's snapshot.
    (other,) = job_names("table3.py", *words, "--seeds", 3, *QUICK)
    assert other != record["job"]


def test_resampled_sequences_score_as_the_toolkit_would_score_them():
    rng = np.random.default_rng(0)
    outcomes = []
    for size in (30, 50, 40):
        hits = rng.random(size) < 0.5
        found = np.concatenate([np.ones(hits.sum(), bool), np.zeros(5, bool)])
        outcomes.append(Outcome(found, rng.random(size), hits))
    drawn = np.array([[1, 1, 1], [2, 0, 1], [0, 0, 3]])
    expected = [precision_recall([o for o, n in zip(outcomes, row, strict=True) for _ in range(n)]).ap for row in drawn]
    assert resampled(outcomes, drawn) == pytest.approx(expected, abs=1e-9)


def test_the_metric_scores_as_the_files_it_writes(data, tmp_path):
    pytest.importorskip("mmcv.ops", reason="needs mmcv with its operators")
    from benchmarks.engines.mmdet_uavdt import UavdtMetric

    rng = np.random.default_rng(0)
    metric = UavdtMetric("benchmarks.uavdt.detections.score_frames", str(data.ground_truth), str(tmp_path))
    found = []
    for name in reversed(data.test):  # in whatever order frames come
        truth = read_ground(data.ground_truth, name).truth
        for number in (3, 1, 2, 4):
            boxes = truth[truth[:, 0] == number, 1:]
            boxes = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
            boxes = (boxes + rng.normal(0, 1, boxes.shape)).astype(np.float32)
            boxes = np.concatenate([boxes, boxes + 0.5])
            scores = rng.random(len(boxes)).astype(np.float32)
            found.append(FrameDetections(name, number, boxes, scores))
            instances = {"bboxes": torch.from_numpy(boxes), "scores": torch.from_numpy(scores)}
            metric.process(None, [{"img_path": str(data.frame(name, number)), "pred_instances": instances}])
    reported = metric.evaluate(len(found))
    ours = score_frames(data.ground_truth, found).scores()
    done = tool("evaluate_uavdt.py", "--ground-truth", data.ground_truth, "--detections", tmp_path,
                "--sequences", "M0203,M0208", "--json", tmp_path / "scores.json")  # fmt: skip
    assert done.returncode == 0, done.stderr
    read_back = json.loads((tmp_path / "scores.json").read_text())
    assert reported["uavdt/AP"] == ours["AP"] == read_back["AP"]
    assert reported["uavdt/night"] == read_back["attributes"]["night"]["AP"]
    assert 0 < ours["AP"] < 100
    assert ours["num_det"] > ours["tp"] > 0


def test_chips_are_quarters_with_their_boxes():
    pytest.importorskip("mmcv.ops", reason="needs mmcv with its operators")
    from mmcv.transforms.utils import cache_random_params
    from mmdet.registry import METRICS, TRANSFORMS
    from mmdet.structures.bbox import HorizontalBoxes

    from benchmarks.engines.mmdet_uavdt import EvenChips, UavdtMetric

    corners = np.arange(8 * 12).reshape(8, 12, 1).repeat(3, axis=2)
    np.random.seed(0)
    seen = Counter()
    for _ in range(5000):
        boxes = HorizontalBoxes(torch.tensor([[1.0, 1, 3, 3], [5, 2, 8, 6]]))
        results = {"img": corners.copy(), "gt_bboxes": boxes, "gt_bboxes_labels": np.array([0, 1])}
        results["gt_ignore_flags"] = np.array([False, False])
        chip = EvenChips("even").transform(results)
        shape, first = chip["img"].shape[:2], int(chip["img"][0, 0, 0])
        seen[shape, first] += 1
        if first == 6:  # the upper right quarter holds the part of the second box from x = 6 on, down to y = 4
            assert chip["gt_bboxes"].tensor.tolist() == [[0, 2, 2, 4]]
            assert chip["gt_bboxes_labels"].tolist() == [1]
    quarter = (4, 6)
    assert set(seen) == {((8, 12), 0), (quarter, 0), (quarter, 6), (quarter, 48), (quarter, 54)}
    assert all(887 < count < 1113 for count in seen.values())  # each as often, within 4 standard errors
    with cache_random_params(chips := EvenChips("even")):  # the images of a mosaic share a draw
        assert len({chips._rand_offset((1, 1)) for _ in range(20)}) == 1
    results = {"img": corners.copy(), "gt_bboxes": HorizontalBoxes(torch.zeros(0, 4))}
    results |= {"gt_bboxes_labels": np.zeros(0, int), "gt_ignore_flags": np.zeros(0, bool)}
    assert all(EvenChips("even").transform(dict(results)) is not None for _ in range(20))  # without objects it is kept
    assert (METRICS.get("UavdtMetric"), TRANSFORMS.get("EvenChips")) == (UavdtMetric, EvenChips)
    assert all(EvenChips("none").transform(results) is results for _ in range(20))


def test_options_of_no_use_are_refused():
    for change in ({"classes": 2}, {"chips": "odd"}, {"batch": 0}, {"score_threshold": 1.5}):
        with pytest.raises(InputError, match="--"):
            Options(**change)


def test_a_dry_run_says_everything_and_writes_nothing(data, control, tmp_path):
    arguments = ["--data-root", data.path, "--out", tmp_path / "out", "--scale", "mini", "--dry-run", "--classes", "3"]
    done = tool("table3.py", "--checkpoint", f"random={control}", "--seeds", "0", "1", *arguments)
    assert done.returncode == 0, done.stderr
    assert "classes = 3" in done.stdout
    assert done.stdout.count(": random, seed ") == 2
    assert not (tmp_path / "out").exists()


def record_of(method, value, scale="paper", name="mine", width=384, patch=16, seed=0):
    return result(
        "uavdt", {"AP": value}, method, data="IN-1k", scale=scale, name=name, width=width, patch=patch, seed=seed
    )


def test_the_table_puts_our_numbers_beside_the_papers():
    records = [
        record_of("DINO", 10.0, name="a"),
        record_of("DINO", 48.5, name="a"),  # the same seed again: the newer one counts
        record_of("DINO", 49.22, name="a", seed=1),  # the mean is 48.86
        record_of("FLSL", 52.7, name="b"),
        record_of("FLSL", 50.0, name="c", width=768),
        record_of("FLSL", 99.0, name="d", scale="mini", patch=8),
        record_of("MAE", 47.0, name="e"),
    ]
    rows = {(line.label, line.backbone): line for line in paper.lines(TABLE, records)}
    assert rows["IN-1k DINO (a)", "ViT-S/16"].verdict == "reproduced"
    assert rows["IN-1k DINO (a)", "ViT-S/16"].runs == 2
    assert rows["IN-1k FLSL (b)", "ViT-S/16"].verdict == "within noise"
    assert rows["IN-1k FLSL (c)", "ViT-B/16"].verdict == "differs"
    assert rows["IN-1k FLSL", "ViT-S/8"].verdict == "not run"
    assert rows["d", "ViT-S/8"].verdict == "mini: no reproduction"
    assert rows["e", "ViT-S/16"].verdict == "not in the paper"
    text = render(sheet(TABLE, [*records, dataclasses.replace(records[0], benchmark="coco")]), "text")
    assert "53.1" in text
    assert "-0.40" in text
    assert "noise band: 0.5" in text
