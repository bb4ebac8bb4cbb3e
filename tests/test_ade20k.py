"""Semantic FPN on ADE20K: a real training run whose score is that of its files, the data's faults, the recipes."""

import json
import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tables_in_process import run_table

from benchmarks import shapes
from benchmarks.ade20k.dataset import open_ade20k
from benchmarks.ade20k.intervals import resampled
from benchmarks.ade20k.run import Options, config_file, run
from benchmarks.ade20k.scoring import count, count_folder, scores
from benchmarks.checkpoints.card import Architecture
from benchmarks.controls import write_random_control
from benchmarks.errors import InputError

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def root(tmp_path):
    shapes.write_ade20k(tmp_path, train_images=2, val_images=2, size=96, seed=0)
    return tmp_path


@pytest.fixture
def control(tmp_path):
    write_random_control(tmp_path / "random.safetensors", seed=0)
    return tmp_path / "random.safetensors"


def test_a_run_trains_predicts_and_scores_what_it_wrote(root, control, tmp_path):
    pytest.importorskip("mmcv.ops", reason="needs mmcv with its operators")
    pytest.importorskip("mmseg.registry", reason="needs mmseg")
    data, out = open_ade20k(root), tmp_path / "out"
    words = ["--checkpoint", f"random={control}", "--data-root", root, "--out", out, "--scale", "mini", "--seeds", 3]
    words += ["--recipe", "corrected", "--iterations", 2, "--batch", 2]
    done = run_table("ade20k.py", *words)
    assert done.returncode == 0, done.stderr
    (folder,) = out.glob("random-corrected-ade20k-fpn-seed3-*")
    losses = [json.loads(line) for line in (folder / "losses.jsonl").read_text().splitlines()]
    assert [line["iteration"] for line in losses] == [1, 2]
    (record,) = (json.loads(path.read_text()) for path in (out / "records").glob("*.json"))
    assert record["metrics"] == scores(count_folder(data, folder / "predictions").sum(axis=0), data.classes)
    assert record["run"]["recipe"] == "corrected"
    assert set(record["metrics"]["per_class"]) == set(data.classes)
    low, high = record["interval"]["values"]["aAcc"]
    assert low <= record["metrics"]["aAcc"] <= high
    assert "scale mini says nothing about the paper" in done.stdout
    assert "38.3" in done.stdout
    assert (out / "pictures/predictions-corrected.png").is_file()


def test_weights_that_did_not_load_end_the_run(root, control, tmp_path, monkeypatch):
    pytest.importorskip("mmcv.ops", reason="needs mmcv with its operators")
    pytest.importorskip("mmseg.registry", reason="needs mmseg")
    from benchmarks.engines.mmseg_backbone import SegmentationBackbone

    monkeypatch.setattr(SegmentationBackbone, "init_weights", lambda self: None)
    with pytest.raises(InputError, match=r"does not hold .* after initialisation"):
        run(control, open_ade20k(root), tmp_path / "out", "mini", Options(1, 2, 1e-3), progress=False)


def test_the_recipes_differ_in_levels_and_in_what_decays(control):
    pytest.importorskip("mmcv.ops", reason="needs mmcv with its operators")
    pytest.importorskip("mmseg.registry", reason="needs mmseg")
    from mmengine.config import Config

    from benchmarks.engines.mmseg_backbone import SegmentationBackbone, segmentation_taps

    assert segmentation_taps(12) == (2, 5, 8, 11)
    images = torch.zeros(1, 3, 64, 96)
    sides = {}
    for levels in ("declared", "real"):
        backbone = SegmentationBackbone(str(control), levels=levels, norm="BN", train_positions=True).eval()
        backbone.init_weights()
        assert backbone.differences() == []
        sides[levels] = [tuple(m.shape[2:]) for m in backbone(images)]
    assert sides["declared"] == [(8, 12)] * 4
    assert sides["real"] == [(16, 24), (8, 12), (4, 6), (2, 3)]
    fourteen = Architecture(24, 4, 3, patch_size=14, image_size=28)
    write_random_control(control, 0, fourteen)
    for patches in ("resample", "pad"):
        backbone = SegmentationBackbone(str(control), levels="real", norm="BN", patches=patches).eval()
        assert [tuple(m.shape[2:]) for m in backbone(images)] == sides["real"]
    spared = {}
    for recipe in ("released", "corrected"):
        config = Config.fromfile(config_file("paper", recipe))
        assert config.model.backbone.levels == {"released": "declared", "corrected": "real"}[recipe]
        assert config.optim_wrapper.optimizer.lr == 6e-5
        assert config.model.backbone.frozen is False  # in every record
        spared[recipe] = set(config.optim_wrapper.paramwise_cfg.custom_keys)
    assert spared["released"] == {"pos_embed", "cls_token"}
    assert spared["corrected"] == {"pos_embed", "cls_token", "norm"}


def test_scores_against_counting():
    truth = np.array([[1, 1, 2, 0], [2, 2, 3, 0]], np.uint8)
    found = np.array([[1, 2, 2, 4], [2, 1, 3, 1]], np.uint8)
    result = scores(count(truth, found, 4), ("a", "b", "c", "d"))
    assert result["per_class"]["a"] == {"IoU": pytest.approx(100 / 3), "Acc": 50.0}
    assert result["per_class"]["b"] == {"IoU": 50.0, "Acc": pytest.approx(200 / 3)}
    assert result["per_class"]["c"] == {"IoU": 100.0, "Acc": 100.0}
    assert result["per_class"]["d"] == {"IoU": None, "Acc": None}  # predicted on unlabelled pixels alone
    assert result["mIoU"] == pytest.approx((100 / 3 + 50 + 100) / 3)
    assert result["aAcc"] == pytest.approx(100 * 4 / 6)


def test_resampled_images_score_as_the_images_themselves():
    rng = np.random.default_rng(0)
    images = [rng.integers(1, 4, (2, 5, 6)) for _ in range(4)]
    per_image = np.stack([count(*image, 3) for image in images])
    drawn = np.array([[1, 1, 1, 1], [0, 3, 1, 0]])
    found = resampled(per_image, drawn)
    for index, row in enumerate(drawn):
        whole = np.concatenate([image for n, image in zip(row, images, strict=True) for _ in range(n)], axis=1)
        expected = scores(count(*whole, 3), ("a", "b", "c"))
        assert {name: values[index] for name, values in found.items()} == pytest.approx(
            {name: expected[name] for name in ("mIoU", "mAcc", "aAcc")}
        )


def _paint(root, value=None, size=None):
    file = sorted((root / "ade20k/ADEChallengeData2016/annotations/training").glob("*.png"))[1]
    labels = np.asarray(Image.open(file)).copy()
    if value is not None:
        labels[3, 5] = value
    picture = Image.fromarray(labels)
    (picture.resize(size) if size else picture).save(file)


FAULTS = {
    "void": (lambda root: _paint(root, value=255), r"label 255: labels are 1..14, and 0 \(not 255\) is unlabelled"),
    "no class": (lambda root: _paint(root, value=151), r"ADE_train_00000002.png has label 151: labels are 1..14"),
    "size": (lambda root: _paint(root, size=(10, 9)), r"is 10x9, its image ADE_train_00000002.jpg is 96x"),
    "no label map": (
        lambda root: next((root / "ade20k").rglob("annotations/validation/*_00000001.png")).unlink(),
        "validation image ADE_val_00000001 has no label map",
    ),
    "no image": (
        lambda root: next((root / "ade20k").rglob("images/training/*_00000002.jpg")).unlink(),
        "training label map ADE_train_00000002 has no image",
    ),
    "broken": (
        lambda root: next((root / "ade20k").rglob("annotations/training/*_00000002.png")).write_bytes(b"no PNG"),
        "ADE_train_00000002.png is not a whole label map",
    ),
    "colours": (
        lambda root: Image.new("RGB", (9, 9)).save(next((root / "ade20k").rglob("annotations/training/*02.png"))),
        "RGB colours, not label indices",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faulty_data_is_one_line_and_exit_2(root, control, tmp_path, monkeypatch, capsys, fault):
    spoil, line = FAULTS[fault]
    spoil(root)
    out = tmp_path / "out"
    arguments = ["--checkpoint", f"a={control}", "--data-root", root, "--out", out, "--scale", "mini"]
    monkeypatch.setattr(sys, "argv", ["ade20k.py", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(ROOT / "tools/ade20k.py"), run_name="__main__")
    assert stop.value.code == 2
    (error,) = [each for each in capsys.readouterr().err.splitlines() if each.startswith("error: ")]
    assert re.search(line, error), error
    assert not out.exists()


def test_the_real_layout_is_read(sample_data):
    data = open_ade20k(sample_data)
    assert len(data.classes) == 150
    assert data.classes[1] == "building"
    assert {split: len(stems) for split, stems in data.stems.items()} == {"training": 3, "validation": 3}
