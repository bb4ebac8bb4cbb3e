"""Windowed propagation equals the published formulas with every matrix in full, over sizes, radii, k and ties."""

import dataclasses
import random

import pytest
import torch
import torch.nn.functional as F

from benchmarks.davis import propagation
from benchmarks.davis.propagation import propagate_labels
from benchmarks.davis.protocol import CRW, DINO


def dense(target, features, labels, protocol):
    """``[C, h, w]`` from ``target [h, w, D]``, ``features [n, h, w, D]``, ``labels [n, C, h, w]``."""
    height, width, _ = target.shape
    rows, columns = (
        grid.flatten() for grid in torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    )
    down, across = (rows[:, None] - rows).abs(), (columns[:, None] - columns).abs()
    radius = protocol.radius or height + width
    near = (down <= radius) & (across <= radius) if protocol.window == "square" else down**2 + across**2 < radius**2
    near = near.expand(len(features), -1, -1).clone()
    near[0] |= not protocol.window_on_first
    cosine = torch.einsum("nkd,qd->nkq", features.flatten(1, 2), target.flatten(0, 1))
    cosine, near = cosine.flatten(0, 1), near.flatten(0, 1)
    k = min(protocol.topk, len(cosine))
    if protocol.keep_ties:
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


@pytest.mark.parametrize("tile", [3, 16])
def test_the_size_of_tiles_and_of_the_scratch_changes_nothing(tile, monkeypatch):
    target, features, labels = random_case(0, 23, 31, 4)
    whole = propagate_labels(target, features, labels, DINO)
    monkeypatch.setitem(propagation.TILE, "cpu", tile)
    slabs = [s[4].untyped_storage().nbytes() for s in propagation._slabs(list(features), 12, tile, 0)]
    assert max(slabs) <= 4 * 8 * 4 * (tile + 24) ** 2
    assert (propagate_labels(target, features, labels, DINO, scratch=0) - whole).abs().max() < 1e-6


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
