"""bbox-aligned k-NN, held against the published program's box choice, patch ids and vote.

``tests/data/knn_geometry.json`` and ``tests/data/knn_vote.npz`` were recorded by running ISL-CV/FLSL's
``eval_bbox_aligned_knn.py`` @ acb5d6f.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.errors import InputError
from benchmarks.knn import vote as voting
from benchmarks.knn.geometry import check_protocol, corrected_partition, official_partition
from benchmarks.knn.vote import nearest, vote

DATA = Path(__file__).parent / "data"


def test_the_official_geometry_in_every_recorded_case():
    cases = json.loads((DATA / "knn_geometry.json").read_text())
    assert len(cases) == 60
    for case in cases:
        chosen, ids = official_partition(case["width"], case["height"], case["boxes"])
        assert (chosen, ids.tolist()) == (case["bbox_no"], case["patch_ids"])


def test_both_geometries_agree_on_square_images_and_differ_on_others():
    boxes = [[60, 50, 290, 200]]
    for size in ((300, 300), (500, 500)):
        assert np.array_equal(official_partition(*size, boxes)[1], corrected_partition(*size, boxes, 16)[1])
    assert not np.array_equal(official_partition(500, 375, boxes)[1], corrected_partition(500, 375, boxes, 16)[1])


def test_corrected_boxes_follow_the_pixels():
    # Resize(256) makes 500x375 a 341x256 image; the crop takes 58 pixels off the left and 16 off the top.
    _, ids = corrected_partition(500, 375, [[100, 30, 160, 90]], patch=8)
    scale = 341 / 500, 256 / 375
    x, y = 130 * scale[0] - 58, 60 * scale[1] - 16
    assert ids[4] == int(y // 8) * 28 + int(x // 8)


def test_a_box_outside_the_crop_is_not_used():
    assert corrected_partition(1000, 250, [[0, 0, 50, 250]], patch=16) is None


def test_official_is_for_patch_16_only():
    with pytest.raises(InputError, match="patch 16"):
        check_protocol("official", 8)


def test_the_vote_is_the_published_programs():
    with np.load(DATA / "knn_vote.npz") as stored:
        recorded = {name: torch.from_numpy(stored[name]) for name in stored.files}
    inputs = [recorded[f"{split}_{what}"] for split in ("train", "test") for what in ("features", "labels")]
    ours = vote(*inputs, recorded["k"].tolist())
    for index, k in enumerate(recorded["k"].tolist()):
        assert ours["top1"][str(k)] == recorded["top1"][index]
        assert ours["top5_official"][str(k)] == recorded["top5_official"][index]
        assert ours["top1"][str(k)] <= ours["top5_corrected"][str(k)] <= 100 < ours["top5_official"][str(k)]


def test_the_blocks_of_the_search_change_nothing(monkeypatch):
    torch.manual_seed(0)
    queries, bank = torch.randn(7, 5), torch.randn(101, 5)
    whole = (queries @ bank.T).topk(9, dim=1)
    monkeypatch.setattr(voting, "BLOCK", 7 * 12)
    values, where = nearest(queries, bank, 9)
    assert torch.equal(where, whole.indices)
    assert torch.allclose(values, whole.values, atol=1e-6)


def test_more_neighbours_than_features_are_refused():
    with pytest.raises(InputError, match="k=9"):
        nearest(torch.randn(2, 4), torch.randn(8, 4), 9)
