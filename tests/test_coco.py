"""Mask R-CNN on mmdet: verified loading, the pyramid, a real training run, and COCO's scores."""

import json
import os
import shutil
import signal

import numpy as np
import pytest
import torch
from coco_subset import choose_images, write_subset
from pycocotools.coco import COCO

from benchmarks import shapes
from benchmarks.backbones.pyramid import FourTapPyramid, default_taps
from benchmarks.checkpoints.canonical import read_canonical
from benchmarks.coco.dataset import open_coco
from benchmarks.coco.intervals import score_with_interval
from benchmarks.coco.pictures import write_detections
from benchmarks.coco.reading import read_annotations
from benchmarks.coco.recipe import Options
from benchmarks.coco.results import for_engines
from benchmarks.coco.run import CONFIGS, run
from benchmarks.coco.scoring import BOX_SCORERS, KINDS, MASK_SCORERS, evaluate, score
from benchmarks.controls import write_random_control
from benchmarks.errors import InputError


@pytest.fixture(scope="module")
def coco(tmp_path_factory):
    root = tmp_path_factory.mktemp("coco")
    shapes.write_coco(root, train_images=8, val_images=4, size=96, seed=0)
    return root


@pytest.fixture
def control(tmp_path):
    write_random_control(tmp_path / "random.safetensors", seed=0)
    return tmp_path / "random.safetensors"


@pytest.mark.parametrize("patch", [8, 16])
def test_the_pyramid_has_strides_4_8_16_32(patch):
    pyramid = FourTapPyramid(12, patch, torch.nn.BatchNorm2d)
    maps = pyramid([torch.randn(2, 12, 64 // patch, 96 // patch) for _ in range(4)])
    assert [tuple(m.shape) for m in maps] == [(2, 12, 64 // s, 96 // s) for s in (4, 8, 16, 32)]


def test_the_pyramid_is_the_published_one():
    layers = {16: ["Sequential", "ConvTranspose2d", "Identity", "MaxPool2d"],
              8: ["ConvTranspose2d", "Identity", "MaxPool2d", "MaxPool2d"]}  # fmt: skip
    for patch, expected in layers.items():
        levels = FourTapPyramid(12, patch).levels
        assert [type(level).__name__ for level in levels] == expected
    assert levels[3].kernel_size == 4
    first = FourTapPyramid(12, 16).levels[0]
    assert [type(layer).__name__ for layer in first] == ["ConvTranspose2d", "SyncBatchNorm", "GELU", "ConvTranspose2d"]


def test_taps_and_patches_without_a_recipe():
    assert default_taps(12) == (3, 5, 7, 11)
    assert default_taps(4) == (0, 1, 2, 3)
    with pytest.raises(InputError, match="patches of 64 pixels do not fit"):
        FourTapPyramid(12, 64)


def test_a_wrong_head_count_is_another_network(control):
    pytest.importorskip("mmcv.ops", reason="needs mmcv with its operators")
    from benchmarks.engines.mmdet_backbone import CanonicalViT

    images = torch.randn(1, 3, 64, 64)
    outputs = []
    for heads in (None, 8):
        backbone = CanonicalViT(str(control), num_heads=heads, norm="BN").eval()
        backbone.init_weights()
        assert backbone.differences() == []
        with torch.inference_mode():
            outputs.append(backbone.vit.patch_tokens(images))
    assert (outputs[0] - outputs[1]).abs().max() > 1e-3


def test_training_goes_through_and_resumes(coco, control, tmp_path):
    pytest.importorskip("mmcv.ops", reason="needs mmcv with its operators")
    result = run(control, open_coco(coco), tmp_path / "out", iterations=2, progress=False)
    lines = [json.loads(line) for line in (tmp_path / "out" / "losses.jsonl").read_text().splitlines()]
    assert [line["iteration"] for line in lines] == [1, 2]
    assert all(line["loss_mask"] > 0 for line in lines)
    detections = json.loads((tmp_path / "out" / "detections.json").read_text())
    scored = score_with_interval(coco / "coco/annotations/instances_val2017.json", detections)
    assert set(scored["metrics"]) >= {"bbox/AP", "segm/AP75"}
    assert set(scored["interval"]["values"]) >= {"bbox/AP", "segm/AP75"}
    assert {name: result[name] for name in scored} == scored
    resumed = run(control, open_coco(coco), tmp_path / "out", iterations=3, progress=False)
    assert len((tmp_path / "out" / "losses.jsonl").read_text().splitlines()) == 3
    assert resumed["run"]["iterations"] == 3


def test_sigterm_leaves_a_snapshot_of_that_update(coco, control, tmp_path, monkeypatch):
    pytest.importorskip("mmcv.ops", reason="needs mmcv with its operators")
    from benchmarks.engines.mmengine_hooks import LossLog

    whole, out = tmp_path / "whole", tmp_path / "out"
    run(control, open_coco(coco), whole, iterations=3, progress=False)
    log = LossLog.after_train_iter

    def log_and_be_preempted(self, runner, *args, **kwargs) -> None:
        log(self, runner, *args, **kwargs)
        if runner.iter + 1 == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patch:
        patch.setattr(LossLog, "after_train_iter", log_and_be_preempted)
        with pytest.raises(SystemExit) as stop:
            run(control, open_coco(coco), out, iterations=3, progress=False)
    signal.signal(signal.SIGTERM, before)
    assert stop.value.code == 143
    assert torch.load(out / "last.pth", weights_only=False)["meta"]["iter"] == 2
    run(control, open_coco(coco), out, iterations=3, progress=False)
    assert (out / "losses.jsonl").read_text() == (whole / "losses.jsonl").read_text()


def test_weights_that_did_not_load_end_the_run(coco, control, tmp_path, monkeypatch):
    pytest.importorskip("mmcv.ops", reason="needs mmcv with its operators")
    from benchmarks.engines.mmdet_backbone import CanonicalViT

    # What happened to the published detector: its initialisation ran, and loaded nothing.
    monkeypatch.setattr(CanonicalViT, "init_weights", lambda self: None)
    with pytest.raises(InputError, match=r"does not hold .* after initialisation"):
        run(control, open_coco(coco), tmp_path / "out", iterations=1, progress=False)


def test_the_truth_as_detections_scores_100(coco):
    annotations = coco / "coco/annotations/instances_val2017.json"
    truth = COCO(annotations)
    detections = [
        {
            "image_id": a["image_id"],
            "category_id": a["category_id"],
            "bbox": a["bbox"],
            "score": 1.0,
            "segmentation": truth.annToRLE(a),
        }
        for a in truth.loadAnns(truth.getAnnIds(iscrowd=False))
    ]
    found = score(annotations, detections)
    assert found["bbox/AP"] == pytest.approx(100)
    assert found["segm/AP"] == pytest.approx(100)
    # 96-pixel pictures hold no object above 96^2 pixels: no score, and not minus one.
    assert found["bbox/APl"] is None


def shaken(annotations, seed):
    """The truth as detections, moved, some twice, some of another class, some left out, with scores that tie."""
    rng, truth = np.random.default_rng(seed), COCO(annotations)
    categories, found = truth.getCatIds(), []
    for a in truth.loadAnns(truth.getAnnIds()):
        for _ in range(rng.integers(0, 4)):
            box = [float(v) for v in np.array(a["bbox"]) * rng.uniform(0.93, 1.07, 4)]
            category = a["category_id"] if rng.random() < 0.8 else int(rng.choice(categories))
            score = float(np.round(rng.random(), 2))
            found.append({"image_id": a["image_id"], "category_id": category, "bbox": box, "score": score})
            found[-1]["segmentation"] = truth.annToRLE(a)
    return found


@pytest.mark.parametrize("data", ["shapes", "sample"])
@pytest.mark.parametrize("by", BOX_SCORERS[1:])
def test_other_scorers_give_the_same_numbers(by, data, coco, request):
    pytest.importorskip(by.replace("-", "_"), reason=f"needs {by}")
    root = coco / "coco" if data == "shapes" else request.getfixturevalue("sample_data") / "coco"
    annotations = root / "annotations/instances_val2017.json"
    truth = read_annotations(annotations, files_needed=False)
    results = for_engines(shaken(annotations, seed=0), truth, str(annotations), "detections")
    masks_by = by if by in MASK_SCORERS else MASK_SCORERS[0]
    official = evaluate(truth.content, results)
    other = evaluate(truth.content, results, boxes_by=by, masks_by=masks_by)
    assert all(5 < official[kind]["AP"] < 95 for kind in KINDS)
    for kind, values in official.items():
        for name, value in values.items():
            assert other[kind][name] == (value if value is None else pytest.approx(value, abs=1e-9)), (kind, name)


@pytest.mark.parametrize("detector", ["mask_rcnn_vit_fpn_overfit", "mask_rcnn_vitdet_overfit"])
def test_a_detector_trains_in_bfloat16_on_a_data_set_of_one_image(coco, control, tmp_path, detector):
    pytest.importorskip("mmcv.ops", reason="needs mmcv with its operators")
    whole = open_coco(coco)
    with pytest.raises(InputError, match="images with 2 to 8 objects, 9 are asked for"):
        choose_images(whole, 9)
    images = choose_images(whole, 1)
    data = write_subset(whole, images, tmp_path / "one")
    assert (data.train_images, data.val_images, data.classes) == (1, 1, whole.classes)
    with pytest.raises(InputError, match="lists no image -1"):
        write_subset(whole, [-1], tmp_path / "none")
    options = Options(updates=1, batch=1)
    result = run(control, data, tmp_path / "out", CONFIGS / f"{detector}.py", options=options, progress=False)
    assert result["run"]["schedule"]["precision"] == "bf16"
    state = torch.load(tmp_path / "out/last.pth", map_location="cpu", weights_only=False)["state_dict"]
    # Autocast is for what is computed: weights stay in fp32, and they moved.
    trained = state["backbone.vit.blocks.0.attn.qkv.weight"]
    assert trained.dtype == torch.float32
    before = read_canonical(control)[0]["blocks.0.attn.qkv.weight"]
    assert not torch.equal(trained, before)


def test_data_as_people_have_it_trains_and_scores_as_the_clean_one(coco, control, tmp_path):
    pytest.importorskip("mmcv.ops", reason="needs mmcv with its operators")
    messy = tmp_path / "messy" / "coco"
    shutil.copytree(coco / "coco", messy)
    names = {}
    for split in ("train", "val"):
        file = messy / f"annotations/instances_{split}2017.json"
        data = json.loads(file.read_text())
        for image in data["images"]:
            names[f"picture {image['id']:06d}"] = image["id"]
            image["id"] = f"picture {image['id']:06d}"
        for number, annotation in enumerate(data["annotations"]):
            annotation |= {"id": number, "image_id": f"picture {annotation['image_id']:06d}"}
            annotation["category_id"] = f"class {annotation['category_id']}"
            if not annotation["iscrowd"]:
                annotation.pop("iscrowd")
                annotation["segmentation"].append([1, 1, 2, 2])
        for category in data["categories"]:
            category["id"] = f"class {category['id']}"
        file.write_text(json.dumps(data))
    results = [
        run(control, open_coco(root), tmp_path / root.parent.name, iterations=1, progress=False)
        for root in (coco / "coco", messy)
    ]
    found = [
        json.loads((tmp_path / root.parent.name / "detections.json").read_text()) for root in (coco / "coco", messy)
    ]
    assert found[0]
    for detection in found[1]:
        detection["image_id"] = names[detection["image_id"]]
        detection["category_id"] = int(detection["category_id"].removeprefix("class "))
    assert found[0] == found[1]
    assert results[0]["metrics"] == results[1]["metrics"]
    assert results[0]["interval"] == results[1]["interval"]
    losses = [(tmp_path / root.parent.name / "losses.jsonl").read_text() for root in (coco / "coco", messy)]
    assert losses[0] == losses[1]
    own = json.loads((tmp_path / "messy" / "detections.json").read_text())
    write_detections(tmp_path / "a.png", messy / "annotations/instances_val2017.json", messy / "val2017", own)


def test_missing_and_broken_images_are_named(control, tmp_path):
    shapes.write_coco(tmp_path, train_images=4, val_images=2, size=96, seed=0)
    victim = sorted((tmp_path / "coco/train2017").glob("*.jpg"))[2]
    content = victim.read_bytes()
    victim.unlink()
    with pytest.raises(InputError, match=rf"1 of 4 images .* such as {victim.name}"):
        open_coco(tmp_path)
    pytest.importorskip("mmcv.ops", reason="needs mmcv with its operators")
    victim.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=rf"{victim.name} is not a whole image"):
        run(control, open_coco(tmp_path), tmp_path / "out", iterations=4, progress=False)
