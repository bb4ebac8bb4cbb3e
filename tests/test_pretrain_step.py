"""One step's own rules: how often it computes, what it shares, how it scales, clips, freezes and decays."""

import contextlib
import dataclasses
import itertools

import pytest
import torch
from tiny_step import VALUES, batch, gradients, networks, take
from torch import nn

from pretrain.objective import Objective
from pretrain.step import Step, clip_each_gradient, parameter_groups


def step_of(volume_term=True, **options):
    return Step(*networks(), Objective(12, volume_term=volume_term), **options)


def cut(whole, *places):
    parts = [take(whole, begin, end) for begin, end in itertools.pairwise(places)]
    return parts, [len(part.teacher) / len(whole.teacher) for part in parts]


@pytest.mark.parametrize(
    ("volume_term", "places", "forwards"), [(True, (0, 4), 1), (True, (0, 1, 4), 4), (False, (0, 1, 4), 2)]
)
def test_statistics_are_computed_beforehand_only_where_parts_need_them(volume_term, places, forwards):
    step, seen = step_of(volume_term), []
    step.student.register_forward_hook(lambda *_: seen.append(torch.is_grad_enabled()))
    parts, weights = cut(batch(4), *places)
    step.backward(parts, VALUES, weights)
    assert len(seen) == forwards
    assert sum(seen) == len(places) - 1  # those with gradients


class Shared(nn.Module):
    """A student whose gradients several processes share, but for the parts in ``no_sync``."""

    def __init__(self, student):
        super().__init__()
        self.student, self.waits, self.seen = student, False, []

    def forward(self, *views):
        self.seen.append(self.waits)
        return self.student(*views)

    @contextlib.contextmanager
    def no_sync(self):
        self.waits = True
        yield
        self.waits = False


def test_processes_share_the_gradients_of_the_last_part_alone():
    student, teacher = networks()
    shared = Shared(student)
    step = Step(student, teacher, Objective(12), wrapped=shared)
    parts, weights = cut(batch(3), 0, 1, 2, 3)
    step.backward(parts, VALUES, weights)
    assert shared.seen == [True, True, False]  # the forwards for statistics are the student's own
    shared.seen.clear()
    step.backward(parts[:1], VALUES, [1.0])
    assert shared.seen == [False]


def updated(step, values=VALUES, images=3):
    _, statistics, _ = gradients(step, [batch(images)], [1.0], values)
    norms = step.gradient_norms()
    step.update(values, statistics, norms)
    return norms, {name: p.detach().clone() for name, p in step.student.named_parameters()}


def test_a_scaled_loss_changes_no_step():
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**12)
    (norms, plain), (scaled_norms, scaled) = updated(step_of()), updated(step_of(scaler=scaler))
    torch.testing.assert_close(scaled_norms, norms)
    for name in plain:
        torch.testing.assert_close(scaled[name], plain[name], rtol=1e-4, atol=1e-6)
    assert scaler.state_dict()["_growth_tracker"] == 1  # it was told of the step


def test_rates_decay_and_the_teachers_momentum_reach_the_update():
    step = step_of()
    before = {name: p.clone() for name, p in step.teacher.named_parameters()}
    _, after = updated(step)
    matrices, plain = step.optimizer.param_groups
    assert [group["lr"] for group in (matrices, plain)] == [VALUES.lr] * 2
    assert [group["weight_decay"] for group in (matrices, plain)] == [VALUES.weight_decay, 0.0]
    for name, parameter in step.teacher.named_parameters():
        torch.testing.assert_close(parameter, 0.9 * before[name] + 0.1 * after[name], rtol=1e-5, atol=1e-7)


def test_biases_and_norms_do_not_decay_and_what_is_not_trained_is_left_out():
    network = nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3), nn.Linear(3, 1), nn.Conv2d(1, 1, 1))
    network[2].weight.requires_grad_(False)
    decayed, plain = parameter_groups(network)
    assert list(map(id, decayed["params"])) == [id(network[0].weight), id(network[3].weight)]
    assert "weight_decay" not in decayed
    assert len(plain["params"]) == 5
    assert plain["weight_decay"] == 0.0


def test_gradients_are_clipped_one_by_one_where_they_are_too_long():
    gradients = [torch.tensor([3.0, 4.0]), torch.tensor([0.3, 0.4]), torch.tensor([0.0])]
    clip_each_gradient(gradients, torch.tensor([5.0, 0.5, 0.0]), 1.0)
    torch.testing.assert_close(gradients[0], torch.tensor([0.6, 0.8]), rtol=1e-5, atol=0)
    assert gradients[1].tolist() == torch.tensor([0.3, 0.4]).tolist()
    assert gradients[2].item() == 0.0


def test_the_published_millionth_keeps_a_clipped_gradient_a_little_shorter():
    gradients = [torch.tensor([2e-6])]
    clip_each_gradient(gradients, torch.tensor([2e-6]), 1e-6)
    torch.testing.assert_close(gradients[0], torch.tensor([2e-6 / 3]), rtol=1e-5, atol=0)


def test_centred_retrieval_asks_without_the_places_of_each_views_own_grid():
    step, whole = step_of(), batch(3)
    values = dataclasses.replace(VALUES, centred=True)
    losses, _ = step.backward([whole], values, [1.0])
    student, teacher, groups = step.student, step.teacher, []
    for view, chosen in zip(whole.views, whole.queries, strict=True):
        tokens = student.encode(view, None) - student.encode(torch.zeros(1, 3, *view.shape[2:]))
        groups.append(torch.stack([row[index] for row, index in zip(tokens, chosen, strict=True)]))
    logits = teacher.answer(whole.teacher, groups, values.ca_temperature, centred=True)
    found = student(whole.views, whole.queries, values.sa_temperature)
    expected, _ = step.objective(
        found.tokens, found.modes, found.logits, logits, values.teacher_temp, values.coefficients
    )
    torch.testing.assert_close(losses.total, expected.total.detach())


def test_positives_in_place_are_the_teachers_at_the_queries_own_places():
    step, whole = step_of(), batch(3)
    values = dataclasses.replace(VALUES, in_place=True)
    losses, _ = step.backward([whole], values, [1.0])
    logits = step.teacher.answer_in_place(whole.teacher, whole.views, whole.queries, whole.boxes)
    found = step.student(whole.views, whole.queries, values.sa_temperature)
    expected, _ = step.objective(
        found.tokens, found.modes, found.logits, logits, values.teacher_temp, values.coefficients
    )
    torch.testing.assert_close(losses.total, expected.total.detach())
    retrieved, _ = step_of().backward([whole], VALUES, [1.0])
    assert not torch.isclose(losses.inter, retrieved.inter)


def test_what_a_step_does_where_nothing_is_said():
    assert (VALUES.own_share, VALUES.in_place, VALUES.centred, VALUES.both_globals) == (1.0, False, False, False)


@pytest.mark.parametrize(("clip", "longest"), [(1e-3, 1e-3), (0.0, None), (1e9, None)])
def test_the_steps_own_clip(clip, longest):
    step = step_of()
    values = dataclasses.replace(VALUES, clip=clip)
    _, statistics, found = gradients(step, [batch(3)], [1.0], values)
    norms = step.gradient_norms()
    torch.testing.assert_close(norms, torch.stack([g.norm() for g in found.values()]))
    step.update(values, statistics, norms)
    for name, parameter in step.student.named_parameters():
        if parameter.grad is not None:
            before = found[name].norm().item()
            expected = before if longest is None else min(before, longest)
            assert parameter.grad.norm().item() == pytest.approx(expected, rel=2e-3, abs=1e-9), name


@pytest.mark.parametrize("frozen", [False, True])
def test_a_frozen_last_layer_stays_and_nothing_else_does(frozen):
    step = step_of()
    before = {name: p.detach().clone() for name, p in step.student.named_parameters()}
    trained = {name for name, p in step.student.named_parameters() if p.requires_grad}
    _, after = updated(step, dataclasses.replace(VALUES, last_layer_frozen=frozen))
    moved = {name for name in trained if not torch.equal(before[name], after[name])}
    last = {name for name in trained if "last_layer" in name}
    assert last
    assert moved & last == (set() if frozen else last)
    assert len(moved - last) > 0.8 * len(trained - last)


def test_a_second_step_begins_without_the_firsts_gradients():
    step = step_of()
    first = gradients(step, [batch(3)], [1.0])[2]
    second = gradients(step, [batch(3)], [1.0])[2]
    for name in first:
        torch.testing.assert_close(second[name], first[name])
