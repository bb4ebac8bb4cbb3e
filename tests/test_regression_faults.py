"""Tier inference as it is run: silent while nothing moves, and each of the deliberate faults named with its score."""

import dataclasses
import json

import pytest
import torch
from in_process import run_tool

from benchmarks.regression.expected import read_expected
from benchmarks.regression.run import EXPECTED


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One folder for all runs: the world is rendered once."""
    return tmp_path_factory.mktemp("regression")


@pytest.fixture
def regression(folder, tmp_path):
    """Run the tool's inference tier on the named cases; gives the exit code, what it printed and its JSON."""

    def run(cases, *arguments):
        if {"coco", "vitdet", "uavdt", "ade20k"} & set(cases.split(",")):
            pytest.importorskip("mmcv.ops", reason="needs mmcv with its operators")
        report = tmp_path / "report.json"
        done = run_tool("ci_regression.py", "--only", cases, "--out", folder, "--json", report, *arguments)
        assert done.returncode in (0, 1), done.stderr
        return done.returncode, done.stdout, json.loads(report.read_text())

    return run


@pytest.mark.parametrize("cases", ["davis", "coco", "vitdet"])
def test_nothing_moved(regression, cases):
    code, printed, report = regression(cases)
    assert code == 0, printed
    assert "nothing moved" in printed
    assert all(abs(row["moved_by"]) <= row["tolerance"] == 0.02 for row in report["scores"])
    stored = read_expected(EXPECTED)["tiers"]["inference"][cases]["shapes world"]["scores"]
    assert {row["score"] for row in report["scores"]} == set(stored)


def not_loaded(patch):
    """Weights not loaded: the network stays as it was initialised."""
    from benchmarks.backbones import loading

    torch.manual_seed(0)
    patch.setattr(loading, "load_exactly", lambda *args, **kwargs: None)


def wrong_heads(patch):
    """8 attention heads whatever the checkpoint has, as the released detection configs say."""
    from benchmarks.engines import mmdet_backbone

    right = mmdet_backbone.prepared_card

    def eight(*args):
        card = right(*args)
        return dataclasses.replace(card, architecture=dataclasses.replace(card.architecture, num_heads=8))

    patch.setattr(mmdet_backbone, "prepared_card", eight)


def bgr(patch):
    """Frames go in as BGR."""
    from benchmarks.davis import run

    right = run.read_frame
    patch.setattr(run, "read_frame", lambda path: right(path)[:, :, ::-1].copy())


def bgr_in_the_engine(patch):
    """The engine's pictures are BGR and its preprocessor no longer turns them round."""
    from mmdet.models import DetDataPreprocessor

    right = DetDataPreprocessor.__init__
    patch.setattr(
        DetDataPreprocessor,
        "__init__",
        lambda self, *args, **kwargs: right(self, *args, **{**kwargs, "bgr_to_rgb": False}),
    )


def fewer_detections(patch):
    """50 boxes an image instead of COCO's 100."""
    _in_config(patch, "model.test_cfg.rcnn.max_per_img", 50)


def mask_threshold(patch):
    """Masks are cut at 0.4 instead of 0.5."""
    _in_config(patch, "model.test_cfg.rcnn.mask_thr_binary", 0.4)


def window_too_small(patch):
    """The window ends one token early: < radius instead of <= radius."""
    _window(patch, -1)


def window_too_large(patch):
    """The window ends one token late."""
    _window(patch, +1)


def _window(patch, by):
    from benchmarks.davis import run

    right = run.propagate_video

    def other(encoder, frames, first_mask, size, protocol, *rest):
        protocol = dataclasses.replace(protocol, radius=protocol.radius + by)
        return right(encoder, frames, first_mask, size, protocol, *rest)

    patch.setattr(run, "propagate_video", other)


def no_final_norm(patch):
    """The last block's output goes out as it is."""
    from benchmarks.backbones.vit import HouseViT

    def raw(self, images):
        last = self.forward_intermediates(images, indices=1, norm=False, output_fmt="NLC", intermediates_only=True)
        return last[0]

    patch.setattr(HouseViT, "patch_tokens", raw)


def scrambled_maps(patch):
    """The pyramid's channels-last maps are read as if laid out ``[B, C, H, W]``, as mmcv's compiled RoIAlign does."""
    from benchmarks.engines.mmdet_regions import Regions

    right = Regions.forward

    def misread(self, feats, *args):
        plain = [torch.empty(m.shape, device="meta").stride() for m in feats]
        return right(
            self, tuple(m.as_strided(m.shape, strides) for m, strides in zip(feats, plain, strict=True)), *args
        )

    patch.setattr(Regions, "forward", misread)


def _in_config(patch, key, value):
    from benchmarks.coco import run

    right = run.model_changes
    patch.setattr(run, "model_changes", lambda *args: {**right(*args), key: value})


FAULTS = [
    (not_loaded, "davis", ("J&F", "J", "F")),
    (bgr, "davis", ("J&F", "J", "F")),
    (window_too_small, "davis", ("J&F", "J", "F")),
    (window_too_large, "davis", ("J&F", "J", "F")),
    (no_final_norm, "davis", ("J&F", "J")),
    (wrong_heads, "coco", ("bbox AP", "segm AP")),
    (bgr_in_the_engine, "coco", ("bbox AP", "segm AP")),
    (fewer_detections, "coco", ("bbox AP", "segm AP")),
    (mask_threshold, "coco", ("segm AP50", "segm AP75")),
    (scrambled_maps, "vitdet", ("bbox AP", "segm AP")),
]


@pytest.mark.parametrize(("fault", "case", "scores"), FAULTS, ids=[fault.__name__ for fault, *_ in FAULTS])
def test_a_fault_is_caught(regression, monkeypatch, fault, case, scores):
    if case != "davis":
        pytest.importorskip("mmcv.ops", reason="needs mmcv with its operators")
        import mmdet.evaluation  # noqa: F401 (registers what the faults patch)
    fault(monkeypatch)
    code, printed, report = regression(case)
    assert code == 1
    moved = {row["score"]: row["moved_by"] for row in report["scores"] if row["status"] == "moved"}
    assert set(scores) <= set(moved), printed
    for score in scores:
        assert f"{case}: {score} moved by {moved[score]:+.3f} points" in printed
    assert "(tolerance 0.02), since record " in printed
    if fault in (window_too_small, window_too_large):
        # A step as small as the tolerance would be caught by chance.
        assert abs(moved["J&F"]) >= 0.05
    if fault is mask_threshold:
        assert not any(score.startswith("bbox") for score in moved)
    print(fault.__name__, {score: round(by, 3) for score, by in moved.items()})
