"""The objective beyond what the published code's recordings reach: parts, Sinkhorn, priors, projected positions."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tiny_step import VALUES, batch, gradients, networks, take

from pretrain.config import ObjectiveConfig
from pretrain.meanshift import mean_shift, project_positions, retrieve_positives, sharp_attention
from pretrain.objective import Objective, Statistics, volume_loss
from pretrain.step import Step
from pretrain.watch import collapse, perplexity, separation


@pytest.mark.parametrize(
    "options",
    [{}, {"volume_term": False}, {"sinkhorn": True}, {"centering": True, "volume_term": False}],
    ids=["volume", "no volume", "sinkhorn", "centring"],
)
def test_a_step_in_unequal_parts_is_the_step_at_once(options):
    whole = batch(5)
    results = []
    for cuts in ([0, 5], [0, 2, 5], [0, 1, 2, 5]):
        student, teacher = networks(drop_path=0.5)
        step = Step(student, teacher, Objective(12, **options))
        parts = [take(whole, *pair) for pair in itertools.pairwise(cuts)]
        results.append(gradients(step, parts, [len(part.teacher) / 5 for part in parts]))
    one = results[0]
    for losses, statistics, found in results[1:]:
        torch.testing.assert_close(losses, one[0], rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(statistics.assignment, one[1].assignment)
        if options.get("centering"):
            torch.testing.assert_close(statistics.teacher_mean, one[1].teacher_mean)
        assert found.keys() == one[2].keys()
        for name, gradient in found.items():
            assert (gradient - one[2][name]).abs().max() <= 1e-5 * one[2][name].abs().max() + 1e-8, name


def test_sinkhorn_is_a_softmax_over_the_batch():
    logits = torch.randn(7, 12)
    objective = Objective(12, sinkhorn=True)
    statistics = objective.statistics(torch.zeros(7, 12), logits, 0.1, 1.0)
    over_batch = (logits / 0.1).softmax(dim=0)
    target = objective.target(logits, 0.1, statistics.normaliser)
    torch.testing.assert_close(target, over_batch / over_batch.sum(dim=1, keepdim=True))
    # Every cluster gets queries, although plain softmax leaves some out.
    assert target.sum(dim=0).min() > (logits / 0.1).softmax(dim=1).sum(dim=0).min()


def test_the_volume_term_measures_the_distance_to_its_prior():
    prior = torch.tensor([0.7, 0.2, 0.1])
    assert volume_loss(prior, prior.log()).item() == pytest.approx(0.0, abs=1e-7)
    expected = (prior * (prior * 3).log()).sum().item()
    assert volume_loss(prior, torch.full((3,), 1 / 3).log()).item() == pytest.approx(expected, rel=1e-5)
    empty = torch.tensor([1.0, 0.0], requires_grad=True)
    volume_loss(empty, torch.tensor([0.5, 0.5]).log()).backward()
    assert empty.grad.isfinite().all()


def test_a_volume_coefficient_of_zero_computes_the_term_and_no_term_does_not():
    for term, seen in ((True, True), (False, False)):
        step = Step(*networks(), Objective(12, volume_term=term))
        values = dataclasses.replace(VALUES, coefficients=(0.1, 1.0, 0.0))
        losses, _, _ = gradients(step, [batch(3)], [1.0], values)
        assert (losses.volume.item() > 0) == seen
        assert losses.total.item() == pytest.approx(0.1 * losses.intra.item() + losses.inter.item(), rel=1e-6)


def test_the_statistics_of_a_part_by_hand():
    student, teacher = torch.tensor([[0.0, math.log(3)], [0.0, 0.0]]), torch.tensor([[1.0, 2.0], [3.0, 6.0]])
    found = Objective(2, student_temp=0.5, centering=True, sinkhorn=True).statistics(student, teacher, 0.25, 0.5)
    # Softmax of log 3 / 0.5 is 1 to 9; the mean with one half, and half of that.
    torch.testing.assert_close(found.assignment, 0.5 * torch.tensor([(0.1 + 0.5) / 2, (0.9 + 0.5) / 2]))
    torch.testing.assert_close(found.teacher_mean, 0.5 * torch.tensor([2.0, 4.0]))
    torch.testing.assert_close(found.normaliser, (teacher / 0.25).exp().sum(0).log())
    plain = Objective(2).statistics(student, teacher, 0.25, 1.0)
    assert plain.teacher_mean is None
    assert plain.normaliser is None


def test_the_loss_by_hand():
    tokens, modes = torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.tensor([[3.0, 0.0], [1.0, 1.0]])
    student, teacher = torch.tensor([[0.0, math.log(3)], [0.0, 0.0]]), torch.tensor([[0.0, 0.0], [0.0, math.log(3)]])
    objective = Objective(2, student_temp=1.0, prior=torch.tensor([0.25, 0.75]))
    losses, statistics = objective(tokens, modes, student, teacher, 1.0, (2.0, 3.0, 5.0))
    intra = 2 - 2 * (1 + math.sqrt(0.5)) / 2
    inter = -(0.5 * math.log(0.25) + 0.5 * math.log(0.75) + math.log(0.5)) / 2
    share = (0.25 + 0.5) / 2, (0.75 + 0.5) / 2
    volume = sum(p * math.log(p / q) for p, q in zip(share, (0.25, 0.75), strict=True))
    assert [x.item() for x in losses[1:]] == pytest.approx([intra, inter, volume], rel=1e-5)
    assert losses.total.item() == pytest.approx(2 * intra + 3 * inter + 5 * volume, rel=1e-5)
    torch.testing.assert_close(statistics.assignment, torch.tensor(share))
    assert not statistics.assignment.requires_grad
    half, _ = objective(tokens, modes, student, teacher, 1.0, (2.0, 3.0, 0.0), 0.5)
    assert half.total.item() == pytest.approx(0.5 * (2 * intra + 3 * inter), rel=1e-5)
    assert not Objective(2, volume_term=False).couples_queries
    assert Objective(2, volume_term=False, sinkhorn=True).couples_queries


def test_the_centre_counts_from_the_next_step_on():
    objective = Objective(12, centering=True, center_momentum=0.75)
    logits = torch.randn(5, 12)
    before = objective.target(logits, 0.1, None)
    torch.testing.assert_close(before, (logits / 0.1).softmax(dim=1))
    objective.move_center(Statistics(logits.mean(0), logits.mean(0), None))
    torch.testing.assert_close(objective.center[0], 0.25 * logits.mean(0))
    torch.testing.assert_close(objective.target(logits, 0.1, None), ((logits - objective.center) / 0.1).softmax(dim=1))


def test_mixed_attention_is_the_mixture_of_materialised_attentions():
    queries, tokens, previous = torch.randn(6, 4, 8), torch.randn(3, 9, 8), torch.randn(3, 9, 8)
    other = sharp_attention(torch.randn(6, 4, 8), previous, 0.3, 50.0)
    torch.testing.assert_close(other.sum(dim=-1), torch.ones(6, 4))
    copied = tokens.repeat(2, 1, 1)
    own = (0.5 * queries @ copied.transpose(1, 2)).softmax(dim=-1)
    torch.testing.assert_close(retrieve_positives(queries, tokens, 0.5), own @ copied)
    torch.testing.assert_close(mean_shift(queries, copied, 0.5), own @ copied)
    torch.testing.assert_close(retrieve_positives(queries, tokens, 0.5, other), own @ copied)  # all of it its own
    mixed = retrieve_positives(queries, tokens, 0.5, other, 0.3)
    torch.testing.assert_close(mixed, (0.3 * own + 0.7 * other) @ copied)


def test_projected_positions_are_found_in_the_teachers_grid():
    # Tokens that hold their own place: a look-up gives back the coordinates it asked for.
    row, column = torch.meshgrid(torch.arange(6.0), torch.arange(6.0), indexing="ij")
    tokens = torch.stack([(column + 0.5) / 6, (row + 0.5) / 6], dim=-1).view(1, 36, 2).repeat(2, 1, 1)
    boxes = torch.tensor([[0.0, 0.0, 1.0, 1.0], [0.25, 0.25, 0.75, 0.5]])
    queries = torch.tensor([[0, 35], [5, 30]])  # of a 6 x 6 grid: corners
    found = project_positions(queries, boxes, tokens, side=6)
    torch.testing.assert_close(found[0], torch.tensor([[0.5 / 6, 0.5 / 6], [5.5 / 6, 5.5 / 6]]))
    expected = [[0.25 + 0.5 * 5.5 / 6, 0.25 + 0.25 * 0.5 / 6], [0.25 + 0.5 * 0.5 / 6, 0.25 + 0.25 * 5.5 / 6]]
    torch.testing.assert_close(found[1], torch.tensor(expected))
    # Nearer to the edge than the outer tokens' centres: these tokens themselves.
    edges = torch.tensor([[0.0, 0.0, 0.1, 0.1], [0.9, 0.9, 1.0, 1.0]])
    found = project_positions(torch.tensor([[0], [35]]), edges, tokens, side=6)
    torch.testing.assert_close(found[:, 0], torch.tensor([[0.5 / 6, 0.5 / 6], [5.5 / 6, 5.5 / 6]]))


def test_positives_in_place_with_equal_views_are_the_tokens_themselves():
    student, teacher = networks()
    teacher.load_state_dict(student.state_dict())
    one = batch(2)
    one = one._replace(views=[one.teacher], queries=one.queries[:1], boxes=one.boxes[:1], draws=None)
    logits = teacher.answer_in_place(one.teacher, one.views, one.queries, one.boxes)
    tokens = teacher.encode(one.teacher)[:, [0, 2, 8, 10]].flatten(0, 1)
    torch.testing.assert_close(logits, teacher.logits(tokens))


def test_drop_path_drops_what_the_draws_say_and_nothing_else():
    student, _ = networks(drop_path=0.5)
    images = torch.randn(3, 3, 16, 16)
    draws = torch.full((3, 3, 2), 0.999)
    draws[1, 2] = 0.1  # the last block keeps a branch with probability 0.5
    kept = student.encode(images, draws)
    blocks = student.backbone.blocks
    x = student.backbone._pos_embed(student.backbone.patch_embed(images))
    for block, keep in zip(blocks, (1.0, 0.75, 0.5), strict=True):
        scale = torch.full((3, 1, 1), 1 / keep)
        if block is blocks[2]:
            scale[1] = 0.0
        x = x + scale * block.attn(block.norm1(x))
        x = x + scale * block.mlp(block.norm2(x))
    torch.testing.assert_close(kept, student.backbone.norm(x))


def test_activation_checkpointing_changes_no_gradient():
    plain, saved = (
        gradients(Step(*networks(0.5, checkpointing), Objective(12)), [batch(3)], [1.0])[2]
        for checkpointing in (False, True)
    )
    for name in plain:
        torch.testing.assert_close(saved[name], plain[name])


def test_perplexity_and_separation_know_simple_cases():
    assert perplexity(torch.full((8,), 1 / 8)) == pytest.approx(8)
    assert perplexity(torch.tensor([1.0, 0.0, 0.0])) == pytest.approx(1)
    two = F.normalize(torch.tensor([[1.0, 0.1], [1.0, -0.1], [0.1, 1.0], [-0.1, 1.0]]), dim=-1)
    delta, similarity = separation(two[None], 10.0)
    cosines = two @ two.T
    expected = [cosines[0, 1] - cosines[0, 2], cosines[1, 0] - max(cosines[1, 2], cosines[1, 3])]
    assert delta == pytest.approx(np.mean(expected + expected), rel=1e-5)
    assert similarity == pytest.approx((cosines.sum().item() - 4) / 12, rel=1e-5)


def test_collapse_is_told_apart_from_health():
    assert collapse(256, used=180.0, inter=3.0, similarity=0.5) == []
    assert collapse(256, used=250.0, inter=6.5, similarity=0.5) == []
    assert "clusters are in use" in collapse(256, used=1.5, inter=0.1, similarity=0.5)[0]
    assert "even over all clusters" in collapse(256, used=255.0, inter=5.54, similarity=0.5)[0]
    assert "tokens of an image" in collapse(256, used=180.0, inter=3.0, similarity=0.999)[0]


def test_an_objective_of_no_config_has_the_recipes_temperature():
    assert Objective(2).student_temp == ObjectiveConfig().student_temp == 0.1
