"""Windowed propagation equals the published formulas with every matrix in full, over sizes, radii, k and ties."""

import dataclasses
import multiprocessing
import random
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import torch.nn.functional as F

from benchmarks.davis import propagation
from benchmarks.davis.propagation import propagate_labels
from benchmarks.davis.protocol import CRW, DINO, PROTOCOLS
from benchmarks.davis.threads import spread


def dense(target, features, labels, protocol):
    """``[C, h, w]`` from ``target [h, w, D]``, ``features [n, h, w, D]``, ``labels [n, C, h, w]``."""
    height, width, _ = target.shape
    rows, columns = (
        grid.flatten() for grid in torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    )
    down, across = (rows[:, None] - rows).abs(), (columns[:, None] - columns).abs()
    radius = protocol.radius or height + width
    near = {
        "square": (down <= radius) & (across <= radius),
        "disk": down**2 + across**2 < radius**2,
        "closed disk": (down**2 + across**2).double().sqrt() <= radius,
    }[protocol.window]
    near = near.expand(len(features), -1, -1).clone()
    near[0] |= not protocol.window_on_first
    cosine = torch.einsum("nkd,qd->nkq", features.flatten(1, 2), target.flatten(0, 1))
    cosine, near = cosine.flatten(0, 1), near.flatten(0, 1)
    k = min(protocol.topk, len(cosine))
    if protocol.ties_of == "similarities":
        cosine = cosine.masked_fill(~near, -torch.inf)
        least = cosine.topk(k, dim=0).values[-1]
        affinity = (cosine.masked_fill(cosine < least, -torch.inf) / protocol.temperature).softmax(0)
    elif protocol.keep_ties:
        affinity = torch.exp(cosine / protocol.temperature) * near
        affinity[affinity < affinity.topk(k, dim=0).values[-1]] = 0
        affinity = affinity / affinity.sum(0)
    else:
        best = (cosine / protocol.temperature).masked_fill(~near, -torch.inf).topk(k, dim=0)
        affinity = torch.zeros_like(cosine).scatter_(0, best.indices, best.values.softmax(0))
    return (labels.transpose(0, 1).flatten(1) @ affinity).view(-1, height, width)


def random_case(seed, height, width, context, dim=8, alike=0):
    """Unit features; ``alike`` > 0 rounds them coarsely and repeats frames, so that many similarities tie."""
    generator = torch.Generator().manual_seed(seed)
    features = F.normalize(torch.randn(context + 1, height, width, dim, generator=generator), dim=-1)
    if alike:
        codes = F.one_hot(torch.randint(alike, (context + 1, height, width), generator=generator), dim).float()
        features = codes if seed % 2 else codes[:1].expand(context + 1, -1, -1, -1).clone()
    labels = torch.rand(context, 3, height, width, generator=generator).softmax(1)
    return features[0], features[1:], labels


SIZES = [(30, 41), (3, 5), (17, 8), (1, 40), (25, 25), (9, 60)]


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("alike", [0, 2])
def test_windowed_equals_dense(seed, alike):
    draw = random.Random(seed)
    height, width = SIZES[seed % len(SIZES)]
    target, features, labels = random_case(seed, height, width, draw.choice([1, 2, 8]), alike=alike)
    protocol = dataclasses.replace(DINO, radius=draw.choice([0, 1, 3, 12, 50]), topk=draw.choice([1, 2, 5, 9, 40]))
    ours = propagate_labels(target, features, labels, protocol, scratch=draw.choice([1, 256]))
    assert (ours - dense(target, features, labels, protocol)).abs().max() < 2e-6


@pytest.mark.parametrize("seed", range(6))
def test_crw_equals_dense(seed):
    draw = random.Random(seed)
    height, width = SIZES[seed % len(SIZES)]
    target, features, labels = random_case(seed, height, width, draw.choice([2, 5]))
    protocol = dataclasses.replace(CRW, radius=draw.choice([0, 2, 12]), topk=draw.choice([1, 3, 10]))
    ours = propagate_labels(target, features, labels, protocol)
    assert (ours - dense(target, features, labels, protocol)).abs().max() < 2e-6


@pytest.mark.parametrize("tile", [(3, 3), (16, 5)])
def test_tiles_scratch_and_threads_change_nothing(tile, monkeypatch):
    target, features, labels = random_case(0, 23, 31, 4)
    threads = torch.get_num_threads()
    whole = propagate_labels(target, features, labels, DINO)
    assert torch.get_num_threads() == threads
    try:
        torch.set_num_threads(1)
        assert torch.equal(propagate_labels(target, features, labels, DINO), whole)
    finally:
        torch.set_num_threads(threads)
    monkeypatch.setitem(propagation.TILE, "cpu", tile)
    assert (propagate_labels(target, features, labels, DINO, scratch=0) - whole).abs().max() < 1e-6


def test_the_scratch_bounds_the_copies_of_keys():
    _, features, _ = random_case(0, 60, 104, 8)
    for budget in (0, 1 << 20, 1 << 30):
        tiles = list(propagation._tiles(list(features), 48, 12, (8, 8), budget))
        copied = max(keys.untyped_storage().nbytes() for *_, keys in tiles)
        assert copied <= max(budget, 8 * 32 * 32 * 8 * 4)
        assert len(tiles) == 8


def test_ties_beyond_the_candidates_all_count():
    features = torch.ones(2, 40, 60, 1)  # every token is as similar as every other: all in the window tie
    labels = torch.zeros(2, 1, 40, 60)
    labels[0, 0, 20, 30] = 1
    reached = propagate_labels(features[0], features, labels, DINO)[0]
    rows, columns = reached.nonzero().T
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (8, 32, 18, 42)
    assert reached[20, 30] == pytest.approx(1 / (2 * 25 * 25))
    assert (reached > 0).sum() == 25 * 25


def test_the_five_nearest_are_of_all_frames_together():
    target = torch.tensor([1.0, 0.0]).expand(1, 1, 2)
    cosines = torch.tensor([0.9, 0.8, 0.7, 0.6, 0.5, 0.5, 0.4])
    features = torch.stack([cosines, (1 - cosines**2).sqrt()], dim=1).view(7, 1, 1, 2)
    labels = torch.eye(7).view(7, 7, 1, 1)
    weights = torch.exp(cosines / 0.1) * (cosines >= 0.5)
    ours = propagate_labels(target, features, labels, DINO).flatten()
    assert torch.allclose(ours, weights / weights.sum(), atol=1e-6)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("alike", [0, 2])
@pytest.mark.parametrize("name", ["dinov3-m", "siammae"])
def test_every_protocol_equals_its_dense_formula(name, seed, alike):
    protocol = dataclasses.replace(PROTOCOLS[name], radius=[PROTOCOLS[name].radius, 3, 5, 1][seed])
    height, width = SIZES[seed]
    target, features, labels = random_case(seed, height, width, 4, alike=alike)
    if alike and not protocol.keep_ties:
        labels = labels[:1, :, :1, :1].expand_as(labels)  # which of many equal ones count is nobody's rule
    ours = propagate_labels(target, features, labels, protocol, scratch=1 if seed % 2 else 256)
    assert torch.allclose(ours, dense(target, features, labels, protocol), atol=2e-6)


@pytest.mark.parametrize("name", ["crw", "siammae"])
@pytest.mark.parametrize("context", [1, 3])
def test_a_context_that_is_not_filled_up_equals_its_dense_formula(name, context):
    """The second frame of a video then has the first alone, and it is looked at everywhere."""
    protocol = dataclasses.replace(PROTOCOLS[name], padded_context=False, radius=4)
    target, features, labels = random_case(0, 9, 21, context)
    ours = propagate_labels(target, features, labels, protocol)
    assert torch.allclose(ours, dense(target, features, labels, protocol), atol=2e-6)


def numbers_of_threads():
    """What torch uses in this thread and in one that begins now."""
    found = [torch.get_num_threads()]
    thread = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    return found


def test_the_process_keeps_its_number_of_threads():
    before = torch.get_num_threads()
    case = random_case(0, 3, 20, context=2)  # three columns of tiles: fewer threads than there are
    expected = propagate_labels(*case, DINO)
    torch.set_num_threads(16)
    try:
        for _ in range(2):
            assert torch.equal(propagate_labels(*case, DINO), expected)
            assert numbers_of_threads() == [16, 16]
        with ThreadPoolExecutor(1) as pool:  # and where a video has a thread of its own
            pool.submit(spread, lambda item: None, range(4), 5).result()
        assert numbers_of_threads() == [16, 16]
        inside = []
        spread(lambda item: inside.append(torch.get_num_threads()), range(8), 3)
        assert inside == [1] * 8
    finally:
        torch.set_num_threads(before)


def test_a_fork_has_threads_of_its_own():
    spread(lambda item: None, range(4), 2)
    context = multiprocessing.get_context("fork")
    process = context.Process(target=spread, args=(abs, range(4), 2))
    process.start()
    process.join(60)
    assert process.exitcode == 0


def test_what_a_thread_raises_reaches_the_caller():
    with pytest.raises(ZeroDivisionError):
        spread(lambda item: 1 // item, range(3), 2)


@pytest.mark.parametrize(("ties_of", "shares"), [("weights", [0.5, 0.5]), ("similarities", [1.0, 0.0])])
def test_what_rounding_makes_equal_ties_in_dino_alone(ties_of, shares):
    """Two cosines a unit in the last place apart: their exponentials are one number, DINO's program counts both."""
    protocol = dataclasses.replace(DINO, topk=1, radius=0, temperature=1.0, keep_ties=True, ties_of=ties_of)
    one = torch.tensor(0.01)
    keys = torch.stack([one, one.nextafter(torch.tensor(0.0))])
    found = propagate_labels(
        torch.ones(1, 1, 1), keys.view(1, 1, 2, 1).unbind(2), torch.eye(2).view(2, 2, 1, 1), protocol
    )
    assert found.flatten().tolist() == shares
