"""The regression's command: what it stores, compares and refuses, and what is kept in the repository."""

import json
from pathlib import Path

import pytest
import torch
import yaml
from in_process import run_tool

from benchmarks.errors import InputError
from benchmarks.regression import inference, instant, training
from benchmarks.regression.expected import compare, read_expected, replace, store
from benchmarks.regression.run import EXPECTED, TIERS
from benchmarks.regression.setting import WEIGHTS, Measured

ROOT = Path(__file__).resolve().parents[1]
SINCE = {"record": "a.json", "commit": "0123456789abcdef", "dirty": False, "date": "2026-11-24T00:00:00+00:00"}


def fake(scores):
    """A case that takes no time."""

    def case(setting, seed=0):
        if isinstance(scores, Exception):
            raise scores
        data = setting.out / "data"
        data.mkdir(parents=True, exist_ok=True)
        (data / "file").write_text("data")
        return Measured({name: value + seed for name, value in scores.items()}, data, (setting.checkpoint,))

    return case


@pytest.fixture
def quick(tmp_path, monkeypatch):
    """Run the tool with cases of the given results and its own file of stored values."""

    def run(cases, *arguments, tier="inference"):
        monkeypatch.setitem(TIERS, tier, {name: fake(scores) for name, scores in cases.items()})
        expected = ("--expected", tmp_path / "expected.json", "--out", tmp_path / "out", "--tier", tier)
        return run_tool("ci_regression.py", *expected, *arguments)

    return run


def test_values_are_stored_compared_and_replaced_by_one_command(quick, tmp_path):
    first = quick({"davis": {"J": 50.0, "F": 60.0}, "knn": {"top-1": 80.0}}, "--update")
    assert first.returncode == 0
    assert "davis: J: none -> 50.0000 (tolerance 0.02)" in first.stdout
    assert quick({"davis": {"J": 50.01, "F": 60.0}, "knn": {"top-1": 80.0}}).returncode == 0

    moved = quick({"davis": {"J": 50.05, "F": 60.0}, "knn": {"top-1": 80.0}}, "--json", tmp_path / "report.json")
    assert moved.returncode == 1
    line = next(line for line in moved.stdout.splitlines() if " moved by " in line)
    assert line.startswith(
        "davis: J moved by +0.050 points, from 50.000 to 50.050 (tolerance 0.02), since record davis-"
    )
    record = line.split("since record ")[1].split()[0]
    assert (tmp_path / "out" / "records" / record).is_file()
    report = json.loads((tmp_path / "report.json").read_text())
    assert not report["passed"]
    assert [row["score"] for row in report["scores"] if row["status"] == "moved"] == ["J"]

    second = quick({"davis": {"J": 50.05, "F": 60.01}, "knn": {"top-1": 80.0}}, "--update")
    assert "davis: J: 50.0000 -> 50.0500 (tolerance 0.02)" in second.stdout
    assert "davis: F: 60.0000 stays (+0.0100)" in second.stdout
    assert quick({"davis": {"J": 50.05, "F": 60.0}, "knn": {"top-1": 80.0}}).returncode == 0


def test_one_that_fails_is_named_and_the_others_go_on(quick, tmp_path):
    quick({"davis": {"J": 50.0}, "knn": {"top-1": 80.0}}, "--update")
    before = (tmp_path / "expected.json").read_bytes()
    done = quick({"davis": RuntimeError("no more\nmemory"), "knn": {"top-1": 80.0}})
    assert done.returncode == 1
    assert "davis failed: RuntimeError: no more memory" in done.stdout
    assert "nothing moved" not in done.stdout
    assert next(line for line in done.stdout.splitlines() if line.startswith("knn")).endswith("ok")
    log = done.stdout.split("(all of it in ")[1].split(")")[0]
    assert "Traceback" in Path(log).read_text()
    # An update keeps what is stored of a case that fails.
    assert quick({"davis": RuntimeError("again"), "knn": {"top-1": 80.0}}, "--update").returncode == 1
    assert (tmp_path / "expected.json").read_bytes() == before


def test_tolerances_of_short_trainings_are_the_spread_over_seeds(quick, tmp_path):
    scores = {"AP, control": 20.0, "AP, random": 5.0}
    assert quick({"coco": scores}, "--update", tier="training").returncode == 0
    stored = read_expected(tmp_path / "expected.json")["tiers"]["training"]["coco"]["shapes world"]["scores"]
    assert stored["AP, control"]["seeds"] == {"0": 20.0, "1": 21.0, "2": 22.0}
    assert (stored["AP, control"]["value"], stored["AP, control"]["tolerance"]) == (20.0, 2.0)
    assert quick({"coco": {"AP, control": 21.9, "AP, random": 5.0}}, tier="training").returncode == 0
    wrong = quick({"coco": {"AP, control": 5.0, "AP, random": 5.0}}, tier="training")
    assert wrong.returncode == 1
    assert "the positive control has 5.00, random weights 5.00" in wrong.stdout
    assert "--seeds takes 3 or more" in quick({"coco": scores}, "--update", "--seeds", 0, 1, tier="training").stderr


def test_scores_that_no_fault_can_move_are_said_to_be_so(quick):
    assert "no score reaches 1 point" in quick({"coco": {"AP": 0.3, "AP50": 0.9}}, "--update").stdout
    assert "no score reaches" not in quick({"coco": {"AP": 0.3, "AP50": 1.0}}, "--update").stdout


def test_other_data_and_other_weights_are_named():
    measured = {"data": {"sha256": "b" * 64}, "weights": {"w": "c"}, "scores": {"AP": {"value": 1.0, "tolerance": 0.1}}}
    entry, _ = replace(None, measured, SINCE)
    rows = compare("coco", {**entry, "data": {"sha256": "a" * 64}, "weights": {"w": "d"}}, measured)
    assert [(row.score, row.status) for row in rows] == [
        ("data", "other data"), ("weights", "other weights"), ("AP", "ok"),
    ]  # fmt: skip
    assert rows[0].note == "sha256 aaaaaaaaaaaa -> bbbbbbbbbbbb"
    gone = compare("coco", entry, {**measured, "scores": {}})
    assert [(row.score, row.status) for row in gone] == [("AP", "gone")]
    # On other data even a value that is near is measured anew.
    _, lines = replace({**entry, "data": {"sha256": "a"}}, measured, SINCE)
    assert lines == ["AP: 1.0000 -> 1.0000 (tolerance 0.10)"]


def test_a_file_of_stored_values_is_whole_or_as_it_was(tmp_path):
    path = tmp_path / "expected.json"
    entry = {"data": {}, "weights": {}, "scores": {}}
    store(path, {("inference", "davis", "here"): entry})
    store(path, {("inference", "davis", "there"): entry})
    before = path.read_bytes()
    assert set(read_expected(path)["tiers"]["inference"]["davis"]) == {"here", "there"}
    with pytest.raises(ValueError, match="JSON"):
        store(path, {("inference", "knn", "here"): {**entry, "scores": {"AP": float("nan")}}})
    assert path.read_bytes() == before
    path.write_text("{}")
    with pytest.raises(InputError, match="no file of stored values"):
        read_expected(path)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("--only", "nothing"), "--only nothing: tier inference has davis, knn, coco"),
        (("--coco-root", "{world}"), "--coco-root takes --expected and --weights here"),
        (("--coco-root", "{world}/no", "--expected", "e", "--weights", "w"), "no does not exist"),
        (("--coco-root", "{world}", "--expected", "{world}/e", "--weights", "w"), "has no values of tier inference"),
        (("--make-weights", "--only", "davis"), "--only davis: nothing is stored for it"),
        (("--update", "--tier", "instant"), "tier instant has no scores to store"),
        (("--checkpoint", "x"), "--checkpoint is for --coco-root"),
        (("--expected", "{world}/no.json", "--only", "davis"), "no.json does not exist"),
    ],
)
def test_unusable_input(arguments, line, tmp_path):
    from benchmarks import shapes

    if "--coco-root" in arguments:
        pytest.importorskip("mmcv.ops", reason="needs mmcv with its operators")
    shapes.write_coco(tmp_path, train_images=1, val_images=1, size=96)
    filled = [argument.format(world=tmp_path / "coco") for argument in arguments]
    done = run_tool("ci_regression.py", "--out", tmp_path / "out", *filled)
    assert done.returncode == 2, done.stdout
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert line in done.stderr
    assert not (tmp_path / "out" / "records").exists()


def test_a_stored_detector_for_other_classes_is_refused(tmp_path):
    from benchmarks.regression.heads import place_snapshot

    with pytest.raises(InputError, match=r"knows 8 classes .* the data has 1 others .*--make-weights"):
        place_snapshot(WEIGHTS / "mask_rcnn.safetensors", tmp_path, ("person",), step=1)
    assert not list(tmp_path.iterdir())


def test_patch_16_sees_the_half_size_picture(tmp_path):
    from benchmarks.backbones import load_backbone
    from benchmarks.controls import POSITIVE_CONTROL

    original, _ = load_backbone(POSITIVE_CONTROL)
    doubled, card = load_backbone(inference.at_patch_16(POSITIVE_CONTROL, tmp_path / "p16.safetensors"))
    assert card.architecture.patch_size == 16
    images = torch.randn(1, 3, 64, 96)
    with torch.inference_mode():
        half = original.patch_tokens(torch.nn.functional.avg_pool2d(images, 2))
        torch.testing.assert_close(doubled.patch_tokens(images), half, atol=1e-4, rtol=1e-4)


def test_what_is_kept_in_the_repository_is_small_and_complete():
    files = sorted(WEIGHTS.iterdir())
    assert [file.name for file in files] == sorted(inference.STORED.values())
    assert sum(file.stat().st_size for file in files) <= 5 << 20
    tiers = read_expected(EXPECTED)["tiers"]
    assert set(tiers["inference"]) == set(inference.CASES)
    assert set(tiers.get("training", {})) <= set(training.CASES)
    for cases in tiers.values():
        for entry in cases.values():
            assert all(score["since"]["record"] for score in entry["shapes world"]["scores"].values())


def test_two_steps_that_leave_nonsense_are_malformed(tmp_path):
    log = tmp_path / "losses.jsonl"
    log.write_text('{"iteration": 1, "loss": 1.0}\n{"iteration": 2, "loss": NaN}\n')
    with pytest.raises(instant.Malformed, match="loss not finite"):
        instant._require_losses(log)
    log.write_text('{"iteration": 1, "loss": 1.0}\n')
    with pytest.raises(instant.Malformed, match="1 lines after 2 steps"):
        instant._require_losses(log)
    # COCO's scorer gives no AP where its limit is not 100.
    with pytest.raises(instant.Malformed, match="bbox/AP: no value"):
        inference.detection_scores({"bbox/AP": None, "bbox/AP50": 1.0, "bbox/APl": None})
    with pytest.raises(instant.Malformed, match="outside 0 to 1"):
        instant._require_between({"J": 1.5}, 0, 1)
    truth = {"images": [{"id": 1, "height": 4, "width": 4}], "categories": [{"id": 1}]}
    found = {"image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 1], "score": 0.5,
             "segmentation": {"size": [4, 4], "counts": "`0"}}  # fmt: skip
    with pytest.raises(instant.Malformed, match="not in COCO's result format"):
        instant._require_detections([found], truth)


def test_two_steps_of_davis(tmp_path):
    done = run_tool("ci_regression.py", "--tier", "instant", "--only", "davis", "--out", tmp_path)
    assert done.returncode == 0, done.stdout
    assert "all well-formed" in done.stdout


def test_own_coco_has_its_own_values(tmp_path):
    pytest.importorskip("mmcv.ops", reason="needs mmcv with its operators")
    from benchmarks import shapes

    shapes.write_coco(tmp_path, train_images=4, val_images=3, size=96)
    own = (
        "--coco-root",
        tmp_path,
        "--expected",
        tmp_path / "own.json",
        "--weights",
        WEIGHTS,
        "--out",
        tmp_path / "out",
    )
    assert run_tool("ci_regression.py", *own, "--update").returncode == 0
    (name,) = read_expected(tmp_path / "own.json")["tiers"]["inference"]["coco"]
    assert name.startswith("coco ")
    done = run_tool("ci_regression.py", *own)
    assert done.returncode == 0, done.stdout
    assert f"tier inference on {name}" in done.stdout
    # Other data has other values, and here none.
    (tmp_path / "coco" / "val2017" / "more.txt").write_text("")
    assert "has no values of tier inference for coco" in run_tool("ci_regression.py", *own).stderr


def test_the_workflow_runs_the_tests_and_the_regression():
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]
    commands = [step.get("run", "") for job in jobs.values() for step in job["steps"]]
    assert any("make lint types test" in command for command in commands)
    assert any("make regression" in command for command in commands)  # tier inference
    assert any("ci_regression.py --tier training" in command for command in commands)
