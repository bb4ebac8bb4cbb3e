"""COCO without mmdet: schedules, what is refused before training starts, and the tables' rows."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as rle
from pycocotools.cocoeval import COCOeval
from results import result

from benchmarks import shapes
from benchmarks.checkpoints.card import Architecture, ResNetArchitecture
from benchmarks.coco import intervals
from benchmarks.coco.intervals import _recalls, matches, resampled, score_with_interval
from benchmarks.coco.recipe import Options, resolve
from benchmarks.coco.run import check_fit
from benchmarks.coco.scoring import BOX_SCORERS, score
from benchmarks.controls import write_random_control
from benchmarks.errors import InputError
from benchmarks.tables import paper, table1, table2
from benchmarks.tables.render import render
from benchmarks.tables.twelve import twelve

ROOT = Path(__file__).resolve().parents[1]
ONE_X = {"batch": 8, "epochs": 12, "drops": (8, 11), "warm_up": 1000, "learning_rate": 5e-5, "precision": "fp16"}
VITDET = {"batch": 64, "updates": 184_375, "drops": (163_889, 177_546), "warm_up": 250, "learning_rate": 1e-4}
VITDET["precision"] = "fp16"


def test_the_published_schedules():
    one_x = resolve(ONE_X, 117_266, 8, Options(), gpu=True)
    assert (one_x.updates, one_x.warm_up, one_x.accumulation, one_x.per_device) == (175_908, 1000, 1, 1)
    assert one_x.drops == (8 * 14_659, 11 * 14_659)
    assert one_x.notes == ()
    vitdet = resolve(VITDET, 117_266, 64, Options(), gpu=True)
    assert (vitdet.updates, vitdet.drops, vitdet.warm_up) == (184_375, (163_889, 177_546), 250)


def test_fewer_devices_keep_the_batch():
    few = resolve(VITDET, 117_266, 4, Options(per_device=2), gpu=True)
    assert (few.batch, few.accumulation, few.passes) == (64, 8, 8 * 184_375)
    assert (few.updates, few.learning_rate, few.notes) == (184_375, 1e-4, ())


def test_a_schedule_says_its_arithmetic_and_records_what_decides_a_number():
    few = resolve(VITDET, 117_266, 4, Options(per_device=2), gpu=True)
    assert few.lines() == [
        "batch 64 = 4 devices x 2 images x 8 passes, fp16",
        "184375 updates, warm-up 250, drops after 163889, 177546, rate 0.0001",
    ]
    flat = resolve({**VITDET, "drops": ()}, 117_266, 4, Options(), gpu=True)
    assert "drops after none" in flat.lines()[1]
    assert few.as_record()["drops"] == [163_889, 177_546]
    # How the batch is shared out decides nothing.
    assert few.deciding() == resolve(VITDET, 117_266, 64, Options(), gpu=True).deciding()
    assert set(few.deciding()) == {"batch", "updates", "warm_up", "drops", "learning_rate", "precision"}


def test_another_batch_scales_the_learning_rate_and_says_so():
    half = resolve(VITDET, 117_266, 8, Options(batch=32), gpu=True)
    assert half.learning_rate == pytest.approx(5e-5)
    assert (half.updates, half.drops) == (368_750, (327_778, 355_092))
    assert "scaled by the same factor" in " ".join(half.lines())
    with pytest.raises(InputError, match="does not divide among 3"):
        resolve(ONE_X, 100, 3, Options(), gpu=True)
    with pytest.raises(InputError, match="no whole number of passes"):
        resolve(ONE_X, 100, 2, Options(per_device=3), gpu=True)
    with pytest.raises(InputError, match="no whole number of passes of 1 devices with 16 images"):
        resolve(ONE_X, 100, 1, Options(per_device=16), gpu=True)
    with pytest.raises(InputError, match="needs a GPU"):
        resolve(ONE_X, 100, 1, Options(precision="fp16"), gpu=False)
    with pytest.raises(InputError, match=r"--updates is 0"):
        Options(updates=0)


def test_a_checkpoint_that_is_not_the_configs():
    small = Architecture(384, 12, 6, 16, 224)
    with pytest.raises(InputError, match=r"x.safetensors has patch size 16, but s8.py is for 8"):
        check_fit({"patch_size": 8}, small, "x.safetensors", "s8.py")
    with pytest.raises(InputError, match=r"kind resnet, but vit.py is for vit"):
        check_fit({"kind": "vit"}, ResNetArchitecture(64, (3, 4, 6, 3), (64,) * 4, (256,) * 4), "r", "vit.py")


@pytest.fixture(scope="module")
def coco(tmp_path_factory):
    root = tmp_path_factory.mktemp("faulty")
    shapes.write_coco(root, train_images=3, val_images=2, size=64, seed=0)
    return root / "coco"


def test_nothing_found_is_no_score_where_nothing_is(coco):
    found = score(coco / "annotations/instances_val2017.json", [])
    assert found["bbox/AP"] == 0
    assert found["segm/APl"] is None  # pictures of 64 pixels have no object above 96 x 96


def synthetic(copies):
    """Objects and detections of six images, each there as often as ``copies`` says; no two scores are the same."""
    rng = np.random.default_rng(3)
    truth = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]}
    found = []
    for copy in copies:
        boxes = [(rng.uniform(5, 200, 2), np.exp(rng.uniform(2.5, 4.7, 2)), int(rng.integers(1, 3))) for _ in range(4)]
        noise = [(rng.normal(0, 5, 4), float(rng.random())) for _ in range(8)]
        for _ in range(copy):
            image = len(truth["images"]) + 1
            truth["images"].append({"id": image, "width": 320, "height": 320})
            for index, (corner, size, kind) in enumerate(boxes):
                box = [*corner.tolist(), *size.tolist()]
                left, top, right, bottom = box[0], box[1], box[0] + box[2], box[1] + box[3]
                number = len(truth["annotations"]) + 1
                truth["annotations"].append(
                    {"id": number, "image_id": image, "category_id": kind, "bbox": box, "iscrowd": int(index == 3),
                     "area": box[2] * box[3], "segmentation": [[left, top, right, top, right, bottom, left, bottom]]}
                )  # fmt: skip
            for index, (shift, value) in enumerate(noise):
                corner, size, kind = boxes[index % 4]
                box = np.r_[corner, size] + shift
                box[2:] = np.maximum(box[2:], 1)
                x, y, w, h = box.tolist()
                (mask,) = rle.frPyObjects([[x, y, x + w, y, x + w, y + h, x, y + h]], 320, 320)
                mask["counts"] = mask["counts"].decode()
                found.append({"image_id": image, "category_id": kind if index < 7 else 3 - kind,
                              "bbox": [x, y, w, h], "score": value, "segmentation": mask})  # fmt: skip
    return truth, found


@pytest.mark.parametrize("copies", [[1] * 6, [2, 0, 1, 0, 3, 0]])
def test_resampled_images_score_as_pycocotools_scores_them(tmp_path, copies):
    whole, found = synthetic([1] * 6)
    (tmp_path / "whole.json").write_text(json.dumps(whole))
    kept = []
    score(tmp_path / "whole.json", found, matched=lambda each: kept.append((each.params.iouType, matches(each))))
    mine = resampled(dict(kept), np.array([copies]))
    again, detections = synthetic(copies)
    (tmp_path / "again.json").write_text(json.dumps(again))
    expected = score(tmp_path / "again.json", detections)
    for name, value in expected.items():
        assert np.isnan(mine[name][0]) if value is None else mine[name][0] == pytest.approx(value, abs=1e-10), name
    assert sum(value is not None for value in expected.values()) >= 10


def test_recalls_are_counted_as_searchsorted_counts_them():
    recalls, truths = np.linspace(0, 1, 101), np.array([7, 3, 0, 200, 3])
    place, reached = _recalls(truths)
    for resample, of in enumerate(truths):
        hits = np.arange(of + 1)
        expected = np.searchsorted(recalls, hits / max(1, of), side="right")
        assert (reached[hits + place[resample]] == expected).all()


@pytest.mark.parametrize("boxes_by", BOX_SCORERS)
def test_an_interval_lies_around_the_score_and_matching_is_done_once(tmp_path, boxes_by, monkeypatch):
    if boxes_by != "pycocotools":
        pytest.importorskip("faster_coco_eval", reason="needs faster-coco-eval")
    truth, found = synthetic([1] * 6)
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    scores, matchings = score(tmp_path / "truth.json", found), []
    evaluate = COCOeval.evaluate
    monkeypatch.setattr(COCOeval, "evaluate", lambda self: matchings.append(self.params.iouType) or evaluate(self))
    result = score_with_interval(tmp_path / "truth.json", found, boxes_by)
    assert matchings == ["bbox", "segm"]
    assert result["metrics"] == pytest.approx(scores, abs=1e-9)
    bounds = result["interval"]
    assert (bounds["over"], bounds["units"], bounds["level"]) == ("images", 6, 0.95)
    for name in ("bbox/AP", "segm/AP50"):
        low, high = bounds["values"][name]
        assert low < scores[name] < high
    monkeypatch.setattr(intervals, "BLOCK", 100)  # a few resamples at a time
    assert score_with_interval(tmp_path / "truth.json", found, boxes_by) == result
    nothing = score_with_interval(tmp_path / "truth.json", [])
    assert (nothing["metrics"]["bbox/AP"], nothing["interval"]) == (0, {})


def test_the_papers_numbers_are_the_papers():
    rows = {(row.method, row.backbone): row.values for row in table1.TABLE.rows}
    assert len(rows) == 12
    assert rows["FLSL", "ViT-S/8"] == (46.5, 69.0, 51.3, 42.1, 65.3, 45.0)
    # The text's differences to SelfPatch: +2.8 box AP; and of ViT-S/8 +4.4 and +3.6.
    ours, selfpatch = rows["FLSL", "ViT-S/16"], rows["SelfPatch", "ViT-S/16"]
    assert ours[0] - selfpatch[0] == pytest.approx(2.8)
    assert rows["FLSL", "ViT-S/8"][0] - selfpatch[0] == pytest.approx(4.4)
    assert rows["FLSL", "ViT-S/8"][3] - selfpatch[3] == pytest.approx(3.6)
    second = {row.method: row.values for row in table2.TABLE.rows}
    assert second["FLSL"][0] - second["DINO"][0] == pytest.approx(4.2)
    assert second["FLSL"][4] - second["DINO"][4] == pytest.approx(3.3)


def test_eight_heads_have_a_row_of_their_own_and_minus_one_is_no_score():
    metrics = {f"{kind}/{name}": 40.0 for kind in ("bbox", "segm") for name in ("AP", "AP50", "AP75", "APs", "APm")}
    metrics |= {"bbox/APl": None, "segm/APl": None}
    records = [result("coco-mask-rcnn", metrics, "FLSL", 300, name=name) for name in ("mine", "mine-8heads")]
    lines = [line.label for line in paper.lines(table1.TABLE, records) if line.runs]
    assert lines == ["FLSL (mine)", "FLSL (mine-8heads)"]
    text = render(twelve(table1.TABLE, records), "text")
    assert text.count("mine-8heads") == 2
    assert "-1" not in text
    assert paper.architecture_name({"kind": "resnet", "blocks": [3, 4, 6, 3]}) == "RN50"


def test_a_dry_run_plans_and_bad_input_ends_with_one_line(coco, tmp_path):
    pytest.importorskip("mmcv.ops", reason="needs mmcv with its operators")
    write_random_control(tmp_path / "c.safetensors", seed=0)

    def table(number, *arguments):
        command = [sys.executable, ROOT / f"tools/table{number}.py", "--checkpoint", f"c={tmp_path / 'c.safetensors'}"]
        command += ["--data-root", coco, "--out", tmp_path / "out", *arguments]
        return subprocess.run([*map(str, command)], capture_output=True, text=True, cwd=ROOT, check=False)

    done = table(1, "--scale", "mini", "--dry-run", "--per-device", "2", "--updates", "20")
    assert done.returncode == 0, done.stderr
    assert "batch 4 = 1 devices x 2 images x 2 passes, fp32" in done.stdout
    assert "20 updates instead of 300" in done.stdout
    assert not (tmp_path / "out").exists()
    done = table(2)
    assert done.returncode == 2
    assert "lists 3 images, COCO 2017 has 118287" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
