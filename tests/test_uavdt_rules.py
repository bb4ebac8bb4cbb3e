"""The parts of UAVDT's score by hand: what is ignored, the two areas, pairs in blocks."""

import numpy as np
import pytest

from benchmarks.uavdt import scoring
from benchmarks.uavdt.scoring import Outcome, match, outside_ignored, precision_recall, within


def rows(*boxes):
    return np.array(boxes, float).reshape(-1, 5)


def test_the_share_of_a_box_that_a_region_holds():
    regions = rows((1, 0, 0, 10, 10), (2, 0, 0, 100, 100), (1, 50, 0, 2, 100))
    boxes = rows((1, 6, 2, 8, 2), (1, 6, 7, 8, 4), (1, 10, 0, 4, 4), (1, 0, 9, 4, 5), (1, 51, 3, 4, 5), (3, 1, 1, 2, 2))
    # 4 of 8 wide; that and 3 of 4 high; beside it; 1 of 5 high; 1 of 4 wide; another frame.
    shares = [1 / 2, 3 / 8, 0.0, 1 / 5, 1 / 4, 0.0]
    for share in (1 / 2, 3 / 8, 0.3, 1 / 4, 1 / 5, 0.1):
        assert within(boxes, regions, share).tolist() == [own >= share > 0 for own in shares]
    assert outside_ignored(boxes, regions).all()
    assert outside_ignored(rows((1, 1, 1, 8, 8), (2, 1, 1, 8, 8), (3, 1, 1, 8, 8)), regions).tolist() == [0, 0, 1]


@pytest.mark.parametrize("pairs", [1, 2, 3, 5, 100])
def test_pairs_come_in_blocks_and_none_is_lost(monkeypatch, pairs):
    monkeypatch.setattr(scoring, "_PAIRS", pairs)
    first, last, order = np.array([0, 2, 3, 1, 0]), np.array([2, 2, 6, 0, 1]), np.array([5, 4, 3, 2, 1, 0])
    blocks = list(scoring._pairs(first, last, order))
    found = [(int(i), int(j)) for block in blocks for i, j in zip(*block, strict=True)]
    assert found == [(0, 5), (0, 4), (2, 2), (2, 1), (2, 0), (4, 5)]
    if pairs == 100:
        assert len(blocks) == 1
    if pairs == 3:
        assert [len(i) for i, _ in blocks] == [2, 3, 1]


def test_the_two_areas_of_a_curve():
    # By falling score: hit, miss, hit, of three objects.
    outcome = Outcome(np.array([True, True, False]), np.array([0.9, 0.5, 0.7]), np.array([True, True, False]))
    curve = precision_recall([outcome])
    assert curve.recall.tolist() == [1 / 3, 1 / 3, 2 / 3]
    assert curve.precision.tolist() == [1.0, 1 / 2, 2 / 3]
    assert (curve.truths, curve.hits) == (3, 2)
    assert curve.ap == pytest.approx(100 * (1 / 3 + 2 / 9))
    # Of 101 recalls 34 are at most 1/3 and 33 more at most 2/3.
    assert curve.ap_101 == pytest.approx(100 * (34 + 33 * 2 / 3) / 101)


def test_a_detection_takes_the_best_that_is_free():
    truth = rows((1, 0, 0, 10, 10), (1, 1, 0, 10, 10), (2, 0, 0, 10, 10))
    boxes = rows((2, 0, 0, 10, 10), (1, 1, 0, 10, 10), (1, 1, 0, 10, 10), (1, 1, 0, 10, 10), (2, 0, 6, 10, 10))
    found = match(truth, boxes, np.array([0.1, 0.5, 0.9, 0.4, 0.8]))
    assert found.scores.tolist() == [0.9, 0.5, 0.4, 0.8, 0.1]  # by frame, then by falling score
    assert found.hits.tolist() == [True, True, False, False, True]  # the second takes the object that is left
    assert found.found.all()
    loose = match(truth, boxes, np.array([0.1, 0.5, 0.9, 0.4, 0.8]), iou=0.25)
    assert loose.hits.tolist() == [True, True, False, True, False]  # 4 of 16 rows are shared


@pytest.mark.parametrize("iou", [0.3, 0.5, 0.7])
def test_the_pairs_that_overlap_are_those_of_looking_at_all(iou):
    rng = np.random.default_rng(0)

    def boxes(count):
        return np.column_stack(
            [rng.integers(1, 4, count), rng.integers(-20, 40, (count, 2)), rng.integers(1, 30, (count, 2))]
        )

    a, b = boxes(600).astype(float), boxes(600).astype(float)
    # The widest neighbour, and the furthest to the left and to the right, that still overlap enough.
    a = np.vstack([a, rows((9, 0, 0, 100, 10), (9, 0, 50, 100, 10))])
    b = np.vstack([b, rows((9, 0, 0, 100 / iou - 1e-6, 10), (9, 100 - 100 / iou + 1e-6, 50, 100 / iou - 1e-6, 10))])
    low, high = (
        np.maximum(a[:, None, 1:3], b[None, :, 1:3]),
        np.minimum(a[:, None, 1:3] + a[:, None, 3:5], b[None, :, 1:3] + b[None, :, 3:5]),
    )
    shared = np.where((high > low).all(-1), (high - low).prod(-1), 0.0)
    overlap = shared / (a[:, None, 3:5].prod(-1) + b[None, :, 3:5].prod(-1) - shared)
    wanted = np.argwhere((overlap >= iou) & (a[:, None, 0] == b[None, :, 0]))
    i, j, found = scoring._overlapping(a, b, iou)
    assert len(wanted) > 20
    assert [list(pair) for pair in sorted(zip(i.tolist(), j.tolist(), strict=True))] == wanted.tolist()
    assert np.array_equal(found, overlap[i, j])
