"""bbox-aligned k-NN, held against the published program's box choice, patch ids and vote.

``tests/data/knn_geometry.json`` and ``tests/data/knn_vote.npz`` were recorded by running ISL-CV/FLSL's
``eval_bbox_aligned_knn.py`` @ acb5d6f.
"""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.errors import InputError
from benchmarks.knn.bank import BankWriter, DiskBank, MemoryBank
from benchmarks.knn.geometry import (
    check_protocol,
    corrected_partition,
    crop_offset,
    official_partition,
    partition,
    resized,
)
from benchmarks.knn.search import nearest
from benchmarks.knn.vote import MEASURES, check_ks, class_votes, count_right, vote, vote_with_bank

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


def test_every_token_of_a_box_by_hand():
    # 512x256 is resized by one and loses 144 pixels on either side and 16 above and below.
    box = [144 + 24, 16 + 48, 144 + 24 + 96, 16 + 48 + 48]
    chosen, ids = corrected_partition(512, 256, [[160, 40, 170, 50], box], patch=8)
    columns, rows = (24 // 8 + 12 / 3 * (i + 0.5) for i in range(3)), [48 // 8 + 6 / 3 * (i + 0.5) for i in range(3)]
    columns = list(columns)
    assert (chosen, ids.tolist()) == (1, [int(y) * 28 + int(x) for y in rows for x in columns])
    assert (resized(500, 375), resized(375, 500), resized(300, 300)) == ((341, 256), (256, 341), (256, 256))
    assert [crop_offset(side) for side in (256, 341, 257, 259)] == [16, 58, 16, 18]  # half to even


def test_an_image_that_no_protocol_can_use():
    degenerate = [[240, 240, 240, 240]]  # on the crop's edge: the published program's ids lie outside of the grid
    assert official_partition(256, 256, degenerate)[1].tolist() == [14 * 14 + 14] * 9
    for protocol in ("official", "corrected"):
        assert partition(protocol, 256, 256, degenerate, 16) is None
    box = [[100, 30, 160, 90]]
    for protocol, made in (("official", official_partition(500, 375, box)), ("corrected", None)):
        expected = made or corrected_partition(500, 375, box, 16)
        found = partition(protocol, 500, 375, box, 16)
        assert (found[0], found[1].tolist()) == (expected[0], expected[1].tolist())


def test_a_box_outside_the_crop_is_not_used():
    assert corrected_partition(1000, 250, [[0, 0, 50, 250]], patch=16) is None


def test_official_is_for_patch_16_only():
    check_protocol("official", 16)
    check_protocol("corrected", 8)
    for protocol, patch, line in (("official", 8, "patch 16"), ("new", 16, "not known"), ("corrected", 15, "divide")):
        with pytest.raises(InputError, match=line):
            check_protocol(protocol, patch)


def test_the_vote_is_the_published_programs():
    with np.load(DATA / "knn_vote.npz") as stored:
        recorded = {name: torch.from_numpy(stored[name]) for name in stored.files}
    inputs = [recorded[f"{split}_{what}"] for split in ("train", "test") for what in ("features", "labels")]
    ours = vote(*inputs, recorded["k"].tolist())
    for index, k in enumerate(recorded["k"].tolist()):
        assert ours["top1"][str(k)] == recorded["top1"][index]
        assert ours["top5_official"][str(k)] == recorded["top5_official"][index]
        assert ours["top1"][str(k)] <= ours["top5_corrected"][str(k)] <= 100 < ours["top5_official"][str(k)]


def test_a_neighbours_vote_weighs_the_exponential_of_its_cosine():
    votes = class_votes(torch.tensor([[0.7, 0.35, 0.0]]), torch.tensor([[1, 1, 3]]), 4)
    torch.testing.assert_close(votes, torch.tensor([[0.0, math.exp(10) + math.exp(5), 0.0, 1.0]]))


#: Two patches' votes for seven classes: one ranks 1 2, the other 2 3; then two that rank 1 to 6.
VOTES = torch.tensor([[[0, 9, 5, 0, 0, 0, 0], [0, 0, 8, 1, 0, 0, 0]], [[0, 9, 8, 7, 6, 5, 4]] * 2]).float()


@pytest.mark.parametrize(
    ("image", "target", "k", "right"),
    [
        (0, 2, 9, (1, 2, 1, 1)),  # second for one patch, first for the other: two ranks, and most votes in sum
        (0, 2, 1, (1, 1, 1, 1)),
        (0, 1, 2, (1, 1, 1, 0)),
        (0, 3, 2, (0, 1, 1, 0)),
        (0, 3, 1, (0, 0, 1, 0)),
        (1, 5, 9, (0, 1, 1, 0)),  # the fifth rank is the last that counts
        (1, 6, 9, (0, 0, 0, 0)),
        (1, 1, 9, (1, 1, 1, 1)),
    ],
)
def test_the_four_measures_by_hand(image, target, k, right):
    found = count_right(VOTES[image : image + 1], torch.tensor([target]), k)
    assert tuple(found[name] for name in MEASURES) == right


def test_a_class_without_a_vote_has_no_rank_but_in_the_published_measure():
    nothing = torch.zeros(1, 2, 3)
    nothing[0, :, 1] = 1.0
    found = [count_right(nothing, torch.tensor([target]), 9)["top5_corrected"] for target in range(3)]
    assert found == [0, 1, 0]
    assert count_right(nothing, torch.tensor([2]), 9)["top5_official"] == 1


def test_a_class_that_the_bank_has_not_is_ranked_too():
    features, labels = random_bank(18)
    queries = features[:9].unflatten(0, (1, 9))
    found = vote_with_bank(MemoryBank(features, torch.zeros_like(labels)), queries, torch.tensor([1]), (9,))
    assert {name: found[name]["9"] for name in MEASURES} == dict.fromkeys(MEASURES, 0.0) | {"top5_official": 100.0}


def test_images_are_counted_in_parts_and_every_k_of_one_search(monkeypatch):
    features, labels = random_bank(72)
    images, targets = random_bank(7 * 9, seed=1)[0].unflatten(0, (7, 9)), torch.arange(7)
    whole = vote_with_bank(MemoryBank(features, labels), images, targets, (20, 3, 20))
    assert list(whole["top1"]) == ["3", "20"]
    for k in (3, 20):
        alone = vote_with_bank(MemoryBank(features, labels), images, targets, (k,))
        assert all(alone[name] == {str(k): whole[name][str(k)]} for name in MEASURES)
    monkeypatch.setattr("benchmarks.knn.vote.IMAGES", 2)
    assert vote_with_bank(MemoryBank(features, labels), images, targets, (3, 20)) == whole
    assert len({value for name in MEASURES for value in whole[name].values()}) > 2  # they are not all alike


def test_a_number_of_neighbours_is_one_or_more_and_there():
    for ks in ((), (0,), (5, -1)):
        with pytest.raises(InputError, match="must be 1 or more"):
            check_ks(ks, None)
    check_ks((1, 8), 8)
    with pytest.raises(InputError, match="k=9 neighbours, but the training set has 8 features"):
        check_ks((1, 9), 8)


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
