"""Published fine-tuned files: read by their exact layout, rebuilt with every tensor in its place, scored, recorded."""

import json
import os
import pickle

import pytest
import torch
from in_process import run_tool
from released_files import mmseg_maps, save_zoo, selfpatch_detector, selfpatch_maps, selfpatch_segmenter, vitdet
from results import result

from benchmarks import shapes
from benchmarks.ade20k.dataset import open_ade20k
from benchmarks.checkpoints.canonical import write_canonical
from benchmarks.coco.dataset import open_validation
from benchmarks.configs import third_party_configs
from benchmarks.core.result import read_results
from benchmarks.engines import mmdet
from benchmarks.engines.trained import build, load
from benchmarks.errors import InputError
from benchmarks.released import score as scoring
from benchmarks.released.layouts import LAYOUTS
from benchmarks.released.reading import open_finetuned
from benchmarks.released.score import understand
from benchmarks.tables import released
from benchmarks.tables.paper import lines

MINI = {
    "mask-rcnn-fpn": third_party_configs("mmdet") / "mask_rcnn_vit_fpn_mini.py",
    "vitdet": third_party_configs("mmdet") / "mask_rcnn_vitdet_mini.py",
    "semantic-fpn": third_party_configs("mmseg") / "semantic_fpn_released_mini.py",
}
CONFIG = """
model = dict(type='MaskRCNN', backbone=dict(type='SelfPatch_ViT', embed_dim=48, num_heads=8, out_indices=[3, 5, 7, 11]))
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    root = tmp_path_factory.mktemp("world")
    shapes.write_coco(root, train_images=2, val_images=3, size=160)
    shapes.write_world(root, "tiny", sets=("ade20k",))
    return root


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(scoring, "CONFIGS", MINI)


def saved(path, state, **meta):
    torch.save({"meta": meta, "state_dict": state}, path)
    return path


def rebuilt(read, out, changes=None):
    """The house's detector with the file's tensors."""
    canonical = out / "backbone.safetensors"
    write_canonical(canonical, read.backbone, read.card)
    runner = build(MINI[read.layout.detector], canonical, out, {**read.changes, **(changes or {})})
    load(runner.model, read.tensors, read.sources, "the file")
    return runner.model


@pytest.mark.parametrize("heads", [6, 8])
def test_selfpatchs_detector_has_the_maps_of_its_program(tmp_path, heads):
    state = selfpatch_detector()
    read = understand(open_finetuned(saved(tmp_path / "d.pth", state)), heads)
    assert (read.layout.detector, read.card.architecture.image_size) == ("mask-rcnn-fpn", 224)
    model = rebuilt(read, tmp_path, {"model.neck.in_channels": [48] * 4, "model.roi_head.bbox_head.num_classes": 8,
                                     "model.roi_head.mask_head.num_classes": 8})  # fmt: skip
    images = torch.randn(2, 3, 96, 160)
    with torch.no_grad():
        ours, theirs, other = (
            model.backbone(images),
            selfpatch_maps(state, images, heads),
            selfpatch_maps(state, images, 3),
        )
    for level, own, other_level in zip(ours, theirs, other, strict=True):
        assert level.shape == own.shape
        assert torch.allclose(level, own, atol=1e-5)
        assert not torch.allclose(level, other_level, atol=1e-3)
    held = model.state_dict()
    assert torch.equal(held["roi_head.mask_head.conv_logits.bias"], state["roi_head.mask_head.conv_logits.bias"])
    assert len(held) == len(state)


def test_selfpatchs_segmenter_has_the_maps_of_its_program(tmp_path):
    state = selfpatch_segmenter()
    read = understand(open_finetuned(saved(tmp_path / "s.pth", state)), 6)
    assert read.layout.detector == "semantic-fpn"
    model = rebuilt(read, tmp_path, {"model.neck.in_channels": [48] * 4, "model.decode_head.num_classes": 14})
    images = torch.randn(1, 3, 90, 130)
    with torch.no_grad():
        ours, theirs = model.backbone(images), mmseg_maps(state, images, 6)
    for level, own in zip(ours, theirs, strict=True):
        assert level.shape == own.shape == (1, 48, 6, 9)
        assert torch.allclose(level, own, atol=1e-5)


def test_detectron2s_names_window_and_image_come_from_the_file(tmp_path):
    state = vitdet()
    save_zoo(tmp_path / "model_final.pkl", {**state, "pixel_mean": torch.zeros(3)})
    read = understand(open_finetuned(tmp_path / "model_final.pkl"), 6)
    assert {name: (fact.value, fact.source) for name, fact in read.facts.items()} == {
        "heads": (6, "user"), "window": (7, "file"), "image_size": (160, "file"),
    }  # fmt: skip
    assert read.card.architecture.position_prefix_rows == 1
    changes = {"model.neck.in_channels": 48, "model.neck.patch": 16}
    changes |= {f"model.roi_head.{head}_head.num_classes": 8 for head in ("bbox", "mask")}
    model = rebuilt(read, tmp_path, changes)
    held = model.state_dict()
    assert len(held) == len(state)
    assert torch.equal(
        held["roi_head.bbox_head.shared_convs.2.ln.weight"], state["roi_heads.box_head.conv3.norm.weight"]
    )
    assert torch.equal(held["backbone.vit.blocks.5.attn.rel_pos_h"], state["backbone.net.blocks.5.attn.rel_pos_h"])
    state["backbone.net.blocks.3.attn.rel_pos_h"] = torch.zeros(19, 8)
    with pytest.raises(InputError, match="not those of a ViTDet of 12 blocks"):
        understand(open_finetuned(saved(tmp_path / "odd.pth", state)), 6)


def test_a_file_is_scored_with_six_and_eight_heads_as_two_runs(world, small, tmp_path):
    classes = open_validation(world).classes
    path = saved(tmp_path / "selfpatch.pth", selfpatch_detector(), CLASSES=classes, config=CONFIG)
    words = (path, "--data-root", world, "--out", tmp_path / "out", "--method", "SelfPatch", "--data", "IN-1k")
    plan = run_tool("score_detector.py", *words, "--dry-run")
    assert plan.returncode == 0, plan.stderr
    assert "mmdet 2, SelfPatch's Mask R-CNN FPN; width 48, 12 blocks, patch 16; 196 tensors" in plan.stdout
    assert "heads: 8 (says the file)" in plan.stdout
    assert "taps: (3, 5, 7, 11) (says the file)" in plan.stdout
    assert not (tmp_path / "out").exists()
    done = run_tool("score_detector.py", *words, "--heads", 6, 8, "--json", tmp_path / "f.json")
    assert done.returncode == 0, done.stderr
    assert "heads: 6 (your word; the file says 8)" in done.stdout
    assert "scale mini" in done.stdout
    assert "DINO + SelfPatch, IN-1k" in done.stdout
    records = read_results(tmp_path / "out/records")
    assert [r.name for r in records] == ["selfpatch-6heads", "selfpatch-8heads"]
    for record, heads in zip(records, (6, 8), strict=True):
        assert (record.benchmark, record.scale) == ("coco-detector", "mini")
        assert record.protocol == f"mask-rcnn-fpn, released, {heads} heads"
        assert record.run["fine-tuned"] is True
        assert record.run["facts"]["classes"] == {"value": 8, "source": "file"}
        assert record.architecture["num_heads"] == heads
        assert record.checkpoint["sha256"] == open_finetuned(path).sha256
        assert record.task == ""  # no backbone's benchmark
    found = [json.loads((tmp_path / f"out/selfpatch-{h}heads/detections.json").read_text()) for h in (6, 8)]
    assert found[0] != found[1]
    assert len(json.loads((tmp_path / "f.json").read_text())) == 2


def test_a_segmenter_and_a_vitdet_are_scored(world, small, tmp_path):
    number = len(open_ade20k(world).classes)
    path = saved(tmp_path / "fpn.pth", selfpatch_segmenter(number))
    words = ("--data-root", world, "--out", tmp_path / "out", "--heads", 6)
    silent = run_tool("score_detector.py", path, *words)
    assert silent.returncode == 2
    assert "does not name its" in silent.stderr
    done = run_tool("score_detector.py", path, *words, "--same-classes")
    assert done.returncode == 0, done.stderr
    (record,) = read_results(tmp_path / "out/records")
    assert record.benchmark == "ade20k-segmenter"
    assert 0 <= record.metrics["mIoU"] <= 100
    assert record.run["facts"]["classes"] == {"value": number, "source": "user"}
    save_zoo(tmp_path / "vitdet.pkl", vitdet())
    done = run_tool("score_detector.py", tmp_path / "vitdet.pkl", *words, "--same-classes")
    assert done.returncode == 0, done.stderr
    assert "window: 7 (says the file)" in done.stdout
    assert "ViT-48x12/16" in done.stdout


def test_a_file_that_does_not_fit_is_one_line_with_all_its_faults(world, small, tmp_path):
    state = selfpatch_detector()
    for name in [name for name in state if name.startswith("roi_head.mask_head.convs.")]:
        del state[name]
    state["roi_head.mask_iou_head.fc.weight"] = torch.zeros(2, 2)
    state["neck.fpn_convs.0.conv.weight"] = torch.zeros(32, 64, 3, 3)
    state["rpn_head.rpn_cls.bias"][0] = torch.nan
    options = ("--data-root", world, "--out", tmp_path / "out", "--heads", 6, "--same-classes")
    done = run_tool("score_detector.py", saved(tmp_path / "d.pth", state), *options)
    assert done.returncode == 2
    line = done.stderr.strip().splitlines()[-1]
    assert line.startswith("error: ")
    assert "4 tensors of the network are not in it (roi_head.mask_head.convs.0.conv.weight" in line
    assert "1 of its tensors have no place (roi_head.mask_iou_head.fc.weight [2, 2])" in line
    assert "neck.fpn_convs.0.conv.weight is [32, 64, 3, 3] and must be [64, 64, 3, 3]" in line
    assert "1 hold NaN or infinity (rpn_head.rpn_cls.bias)" in line
    assert not (tmp_path / "out/records").exists()


def test_a_backbone_alone_and_other_classes_are_refused_before_anything_is_built(world, small, tmp_path):
    state = selfpatch_detector(classes=5)
    options = ("--data-root", world, "--out", tmp_path / "out", "--heads", 6, "--same-classes")
    done = run_tool("score_detector.py", saved(tmp_path / "d.pth", state), *options)
    assert (done.returncode, "knows 5 classes and the data has 8" in done.stderr) == (2, True)
    backbone = {name: tensor for name, tensor in state.items() if name.startswith("backbone.")}
    done = run_tool("score_detector.py", saved(tmp_path / "b.pth", backbone), *options)
    assert (done.returncode, "is none of the layouts known here" in done.stderr) == (2, True)
    del state["roi_head.bbox_head.fc_cls.weight"]
    done = run_tool("score_detector.py", saved(tmp_path / "c.pth", state), *options)
    assert (done.returncode, "has no roi_head.bbox_head.fc_cls.weight" in done.stderr) == (2, True)
    assert not (tmp_path / "out").exists()


def test_classes_in_another_order_and_unknown_heads_are_refused(world, small, tmp_path):
    classes = open_validation(world).classes
    turned = (*classes[1:], classes[0])
    path = saved(tmp_path / "d.pth", selfpatch_detector(), CLASSES=turned)
    done = run_tool("score_detector.py", path, "--data-root", world, "--out", tmp_path / "out", "--heads", 6)
    assert done.returncode == 2
    assert "8 of its 8 classes otherwise than the data or in another order" in done.stderr
    path = saved(tmp_path / "silent.pth", selfpatch_detector())
    with pytest.raises(InputError, match="nobody says how many heads a network of width 48 has: give --heads"):
        understand(open_finetuned(path))
    with pytest.raises(InputError, match="5 heads do not divide"):
        understand(open_finetuned(path), 5)


class Harm:
    def __reduce__(self):
        return os.system, ("touch harm",)


def test_nothing_in_a_file_is_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content = {"model": {name: tensor.numpy() for name, tensor in vitdet().items()}, "__author__": Harm()}
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(content, protocol=2))
    torch.save({"state_dict": selfpatch_detector(), "meta": {"config": CONFIG, "x": Harm()}}, tmp_path / "x.pth")
    assert understand(open_finetuned("x.pkl"), 6).layout.detector == "vitdet"
    assert understand(open_finetuned("x.pth")).facts["heads"].source == "file"
    assert not (tmp_path / "harm").exists()


def test_what_published_files_do_not_say_is_their_programs():
    assert len(mmdet.coco_classes()) == 80
    heads = {layout.detector: dict(layout.heads) for layout in LAYOUTS}
    assert heads == {"mask-rcnn-fpn": {384: 8}, "semantic-fpn": {384: 6}, "vitdet": {768: 12, 1024: 16, 1280: 16}}


@pytest.mark.parametrize(
    ("table", "row"), [(t, r) for t in released.TABLES for r in t.rows], ids=lambda value: getattr(value, "stem", "")
)
def test_a_published_files_row_is_reached_by_its_own_detector_alone(table, row):
    size = {"ViT-S/16": (384, 12), "ViT-B/16": (768, 12), "ViT-L/16": (1024, 24), "ViT-H/16": (1280, 32)}[row.backbone]
    metrics = {column.keys[0]: 1.0 for column in table.columns}

    def held(protocol, **facts):
        facts = {"width": size[0], "depth": size[1], "method": row.method, "data": "IN-1k", "source": "user", **facts}
        one = result(table.benchmark, metrics, protocol=protocol, **facts)
        return [line.paper for line in lines(table, [one]) if line.runs]

    own = table.stem.removeprefix("released-")
    for heads in (6, 8):
        assert held(f"{own}, released, {heads} heads") == [row.values]
    for other in {"mask-rcnn-fpn", "vitdet", "semantic-fpn"} - {own}:
        assert held(f"{other}, released, 8 heads") == []
    assert held(f"{own}, released, 8 heads", data="K400")[0][0] is None
