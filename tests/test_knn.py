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
from benchmarks.knn.bank import BankWriter, DiskBank, MemoryBank
from benchmarks.knn.geometry import check_protocol, corrected_partition, official_partition
from benchmarks.knn.search import nearest
from benchmarks.knn.vote import vote

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


def random_bank(rows, dim=12, seed=0):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(rows, dim, generator=generator)
    return features, torch.randint(0, 10, (rows,), generator=generator)


def disk_bank(path, features, labels, dtype="fp32"):
    with BankWriter(len(features), features.shape[1], dtype, path) as writer:
        for start in range(0, len(features), 17):
            writer.append(features[start : start + 17], labels[start : start + 17])
    return writer.bank()


@pytest.mark.parametrize(("bank_rows", "query_rows", "k"), [(1, 1, 1), (13, 3, 9), (13, 100, 40), (1000, 7, 101)])
@pytest.mark.parametrize("on_disk", [False, True])
def test_blocks_equal_one_matrix_product(tmp_path, bank_rows, query_rows, k, on_disk):
    features, labels = random_bank(101)
    queries, _ = random_bank(29, seed=1)
    bank = disk_bank(tmp_path / "a.features", features, labels) if on_disk else MemoryBank(features, labels)
    whole = (queries @ features.T).topk(k, dim=1)
    similarities, found = nearest(queries, bank, k, bank_rows, query_rows)
    assert torch.allclose(similarities, whole.values, atol=1e-5)
    assert torch.equal(found, labels[whole.indices].int())


def test_a_bank_of_half_precision_is_the_rounded_one(tmp_path):
    features, labels = random_bank(60)
    queries, _ = random_bank(5, seed=1)
    rounded = nearest(queries, MemoryBank(features.half().float(), labels), 7)
    for bank in (disk_bank(tmp_path / "a.features", features, labels, "fp16"), MemoryBank(features.half(), labels)):
        assert all(map(torch.equal, nearest(queries, bank, 7), rounded))


def test_a_bank_that_was_not_finished_or_was_cut_is_noticed(tmp_path):
    features, labels = random_bank(40)
    path = tmp_path / "a.features"

    def interrupted():
        with BankWriter(40, 12, "fp32", path) as writer:
            writer.append(features, labels)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not list(tmp_path.iterdir())
    disk_bank(path, features, labels)
    assert DiskBank.exists(path)
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(InputError, match="has 1916 bytes instead of 1920: delete it"):
        DiskBank(path)


def test_more_neighbours_than_features_are_refused():
    with pytest.raises(InputError, match="k=9"):
        nearest(torch.randn(2, 4), MemoryBank(torch.randn(8, 4), torch.zeros(8)), 9)
