"""What chance depends on, in pretraining and in both detection engines: seed, epoch, image, draw and process, each."""

import itertools
import json
import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.engines.chance import seed_all
from benchmarks.engines.detectron2_data import Draws, Numbered
from pretrain.config import Config, DataConfig, ModelConfig, RunConfig, ViewsConfig
from pretrain.data import EpochBatches, make_loader

IMAGES = 8


@pytest.fixture(scope="module")
def copies(tmp_path_factory):
    """One picture under eight names: what differs between two views of it is chance alone."""
    root = tmp_path_factory.mktemp("copies")
    pixels = np.random.default_rng(0).integers(0, 256, (40, 48, 3), dtype=np.uint8)
    for index in range(IMAGES):
        Image.fromarray(pixels).save(root / f"{index}.png")
    return root


def drawn(root, epoch, seed=0, **run):
    """All that chance decides in an epoch, image by image in the order of its index: crops, places, colours, ..."""
    config = Config(
        ModelConfig(image_size=32, patch_size=8, depth=2),
        DataConfig(str(root), workers=0, augment_on="device"),
        ViewsConfig(local_size=16, global_window=2, local_window=2, random_queries=True, jitter_probability=1.0),
        run=RunConfig(batch=IMAGES, seed=seed, **run),
    )
    loader, sampler = make_loader(config, 0, 1, torch.device("cpu"))
    sampler.start(epoch, 0)
    (items,) = sampler
    assert {number for number, _ in items} == {epoch}
    ((batch, broken),) = loader
    assert not broken
    order = [index for _, index in items]
    place = torch.tensor(order).argsort()

    def by_image(stack):  # [V*B, ...] -> [B, V, ...] in the order of the files
        return stack.unflatten(0, (-1, IMAGES)).transpose(0, 1)[place]

    found = {"teacher's crop": batch.teacher[place], "order": torch.tensor(order)}
    for size in (0, 1):
        found |= {f"{name} {size}": by_image(getattr(batch, name)[size]) for name in ("views", "boxes", "draws")}
    found |= {f"colours {which}": by_image(rows) for which, rows in enumerate(batch.drawn)}
    return {**found, "queries": by_image(batch.queries[1])}


def test_every_choice_of_a_view_depends_on_seed_epoch_and_image(copies):
    one = drawn(copies, epoch=3)
    again, other_epoch, other_seed = drawn(copies, 3), drawn(copies, 4), drawn(copies, 3, seed=1)
    for name, value in one.items():
        assert torch.equal(value, again[name]), name
        if name == "order":
            assert not torch.equal(value, other_epoch[name])
            assert not torch.equal(value, other_seed[name])
            assert sorted(value.tolist()) == list(range(IMAGES))
            continue
        # Of eight images few may be alike by chance (queries have 2^2 places a cell).
        for other in (other_epoch[name], other_seed[name], value.roll(1, 0)):
            same = (value == other).flatten(1).all(1)
            assert same.sum() <= 2, name


def steps_of(world, parts, batch, epoch=0, first=0, images=29, seed=5):
    """The images of each step, and of each process and part in it: ``[steps][world][parts]`` lists."""
    found = []
    for rank in range(world):
        config = SimpleNamespace(run=SimpleNamespace(batch=batch, accumulate=parts, seed=seed))
        sampler = EpochBatches(images, config, rank, world)
        assert sampler.global_batch == 12
        assert sampler.steps == 2
        assert len(sampler) == 2 * parts
        sampler.start(epoch, first)
        batches = [[index for number, index in items if number == epoch] for items in sampler]
        assert {len(each) for each in batches} <= {batch}
        found.append([batches[step : step + parts] for step in range(0, len(batches), parts)])
    return [list(step) for step in zip(*found, strict=True)]


def flat(nested):
    return list(itertools.chain.from_iterable(itertools.chain.from_iterable(nested)))


@pytest.mark.parametrize(("world", "parts", "batch"), [(1, 1, 12), (3, 1, 4), (1, 4, 3), (2, 3, 2)])
def test_a_step_has_the_same_images_however_it_is_shared_out(world, parts, batch):
    steps = [flat(step) for step in steps_of(world, parts, batch, epoch=2)]
    # In order: process by process, part by part; the rest of 29 is left out.
    assert np.concatenate(steps).tolist() == np.random.default_rng((5, 2)).permutation(29)[:24].tolist()
    assert [flat(step) for step in steps_of(world, parts, batch, epoch=2, first=1)] == steps[1:]
    run = SimpleNamespace(batch=batch, accumulate=parts, seed=5)
    begun = iter(EpochBatches(29, SimpleNamespace(run=run), 0, world))  # where nobody says which, the first epoch
    assert {number for number, _ in next(begun)} == {0}
    assert flat(steps_of(world, parts, batch, epoch=3)[0]) != steps[0]
    assert flat(steps_of(world, parts, batch, epoch=2, seed=6)[0]) != steps[0]


def detectron2_sampler(size, seed, rank, world):
    return Numbered(size, seed, 0, rank, world)


def mmdet_sampler(size, seed, rank, world):
    pytest.importorskip("mmcv.ops", reason="needs mmcv with its operators")
    import mmengine.dataset.sampler as there

    from benchmarks.engines.mmdet_replay import NumberedSampler

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(there, "get_dist_info", lambda: (rank, world))
        return NumberedSampler(range(size), seed=seed)


@pytest.mark.parametrize("sampler", [detectron2_sampler, mmdet_sampler])
def test_the_draws_of_a_detector_are_shared_out_and_numbered(sampler):
    size, rounds = 7, 3

    def draws(rank, world, seed=1):
        numbers = itertools.islice(sampler(size, seed, rank, world), rounds * size // world)
        return [divmod(number, size) for number in numbers]

    alone = draws(0, 1)
    assert [draw for draw, _ in alone] == list(range(rounds * size))
    orders = [tuple(index for _, index in alone[start : start + size]) for start in range(0, len(alone), size)]
    assert all(sorted(order) == list(range(size)) for order in orders)
    assert len(set(orders)) == rounds
    assert draws(0, 1, seed=2) != alone
    # Three processes do what one does, each draw once.
    assert [draws(rank, 3) for rank in range(3)] == [alone[rank::3] for rank in range(3)]


def test_a_resumed_detector_goes_on_with_the_next_draw():
    whole = list(itertools.islice(Numbered(7, 1, 0, 1, 2), 12))
    assert list(itertools.islice(Numbered(7, 1, 10, 1, 2), 7)) == whole[5:]


def chance():
    return random.random(), np.random.random(), torch.rand(1).item()


def test_the_augmentation_of_a_draw_is_a_function_of_seed_and_draw(monkeypatch):
    images = Draws.__new__(Draws)
    images.entries, images.map, images.seed = ["a", "b", "c"], lambda entry: (entry, chance()), 0
    one = images[3 * 5 + 1]
    assert one[0] == "b"
    assert images[3 * 5 + 1] == one
    assert not set(one[1]) & set(images[3 * 6 + 1][1])
    images.seed = 1
    assert not set(one[1]) & set(images[3 * 5 + 1][1])

    pytest.importorskip("mmcv.ops", reason="needs mmcv with its operators")
    from benchmarks.engines import mmdet_replay

    monkeypatch.setattr(mmdet_replay.CocoDataset, "__getitem__", lambda self, index: (index, chance()))
    monkeypatch.setattr(mmdet_replay.CocoDataset, "__len__", lambda self: 3)
    data = mmdet_replay.ReplayedCoco.__new__(mmdet_replay.ReplayedCoco)
    data.seed = 0
    assert data[3 * 5 + 1] == (1, one[1])  # both engines draw alike
    data.seed = 1
    assert data[3 * 5 + 1] == (1, images[3 * 5 + 1][1])


def test_the_chance_of_a_step_is_a_function_of_seed_step_and_process(monkeypatch):
    pytest.importorskip("mmcv.ops", reason="needs mmcv with its operators")
    from benchmarks.engines import mmdet_replay

    def after(seed, step, rank):
        monkeypatch.setattr(mmdet_replay, "get_rank", lambda: rank)
        mmdet_replay.ReplayedSteps(seed).before_train_iter(SimpleNamespace(iter=step), 0)
        return chance()

    one = after(0, 5, 0)
    assert after(0, 5, 0) == one
    seed_all(0, 2, 5, 0)  # pinned: a run that was begun by an earlier version goes on
    assert chance() == one
    for other in ((1, 5, 0), (0, 6, 0), (0, 5, 1)):
        assert not set(after(*other)) & set(one)
    # No step has the chance of a draw.
    seed_all(0, 1, 5)
    assert not set(chance()) & set(one)


def test_each_library_gets_a_word_of_its_own():
    """numpy's SeedSequence promises its words for all versions, so what a resumed run draws is pinned here."""
    words = (3507651262, 3241639417, 2302620713)
    seed_all(0, 1, 5)
    generator = torch.Generator().manual_seed(words[2])
    expected = random.Random(words[0]).random(), np.random.RandomState(words[1]).random()
    assert chance() == (*expected, torch.rand(1, generator=generator).item())


def test_configs_find_what_replays_by_name(copies, tmp_path):
    pytest.importorskip("mmcv.ops", reason="needs mmcv with its operators")
    from mmdet.registry import DATA_SAMPLERS, DATASETS, HOOKS

    from benchmarks.engines import mmdet_replay

    images = [{"id": i, "file_name": f"{i}.png", "width": 48, "height": 40} for i in range(2)]
    listed = {"images": images, "annotations": [], "categories": [{"id": 1, "name": "a"}]}
    (tmp_path / "listed.json").write_text(json.dumps(listed))
    place = {"ann_file": str(tmp_path / "listed.json"), "data_prefix": {"img": str(copies)}, "pipeline": []}
    assert DATASETS.get("ReplayedCoco") is mmdet_replay.ReplayedCoco
    assert DATA_SAMPLERS.get("NumberedSampler") is mmdet_replay.NumberedSampler
    assert HOOKS.get("ReplayedSteps") is mmdet_replay.ReplayedSteps
    data = mmdet_replay.ReplayedCoco(metainfo={"classes": ("a",)}, test_mode=True, **place)
    assert (data.seed, len(data)) == (0, 2)
    assert data[2 * 7 + 1]["img_id"] == 1
    assert mmdet_replay.ReplayedCoco(seed=3, **place).seed == 3
    assert mmdet_replay.ReplayedSteps().seed == 0
    assert mmdet_replay.ReplayedCoco(place["ann_file"], data_prefix=place["data_prefix"], pipeline=[]).seed == 0
