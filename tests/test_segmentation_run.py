"""Segmentation tasks from weights to a record, on a miniature world."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from benchmarks.controls import POSITIVE_CONTROL, write_random_control
from benchmarks.core.model import load_model
from benchmarks.core.runner import evaluate
from benchmarks.core.task import Launch, Place
from benchmarks.errors import InputError
from benchmarks.segmentation import augment, protocols, retrieval
from benchmarks.segmentation import bank as banks
from benchmarks.segmentation.dataset import open_segmentation
from benchmarks.segmentation.linear import Probe
from benchmarks.segmentation.settings import RetrievalSettings
from benchmarks.segmentation.task import TASKS
from benchmarks.shapes.writers.segmentation import write_segmentation

BY_NAME = {task.name: task for task in TASKS}
SMALL = {
    "segmentation-ridge": {"tokens": 12},
    "segmentation-linear": {"tokens": 8, "iterations": 6, "batch": 2},
    "segmentation-knn": {"tokens": 8, "ks": (1, 3), "logistic": True, "max_iter": 5},
    "segmentation-retrieval": {"tokens": 8, "memory": 300},
}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    root = tmp_path_factory.mktemp("world")
    write_segmentation(root, 12, 4, size=96)
    write_random_control(root / "random.safetensors", seed=0)
    return root


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FLSL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("FLSL_TASKS", "benchmarks.segmentation.task")


def test_names_and_what_outside_checks_call():
    names = ["segmentation-ridge", "segmentation-linear", "segmentation-knn", "segmentation-retrieval"]
    assert [task.name for task in TASKS] == names
    assert all(task.benchmark == "segmentation" and task.needs == "features" for task in TASKS)


@pytest.mark.parametrize("name", SMALL)
def test_a_task_runs_to_a_record_and_draws(world, tmp_path, name):
    model = load_model(world / "random.safetensors")
    result = evaluate(model, name, world, "mini", tmp_path / "runs", device="cpu", progress=False, settings=SMALL[name])
    metrics = result.metrics
    assert 0 <= metrics["mIoU"] <= 100
    assert 0 <= metrics["aAcc"] <= 100
    assert len(metrics["per_class"]) == 14
    low, high = result.interval["values"]["mIoU"]
    assert low <= metrics["mIoU"] <= high
    assert result.run["protocol"]["name"] == result.protocol
    assert result.run["train_images"] == 12
    assert result.interval["over"] == "images"
    folder = tmp_path / "runs" / result.artefacts
    with np.load(folder / "counts.npz") as counts:
        confusion, per_image = counts["confusion"], counts["per_image"]
    iou = np.diag(confusion) / (confusion.sum(1) + confusion.sum(0)[:-1] - np.diag(confusion)).clip(1)
    plain = [values["IoU"] for values in metrics["per_class"].values()]
    if name != "segmentation-retrieval":  # whose classes the Hungarian method may move
        assert np.allclose([x or 0.0 for x in plain], 100 * iou)
    known = [value for value in plain if value is not None]
    assert metrics.get("mIoU_plain", metrics["mIoU"]) == pytest.approx(
        np.mean(known) if name != "segmentation-retrieval" else metrics.get("mIoU_plain", metrics["mIoU"])
    )
    assert per_image.shape == (4, 3, 15)
    if name == "segmentation-knn":
        assert 0 <= metrics["logistic"]["mIoU"] <= 100
    task = BY_NAME[name]
    settings = dataclasses.replace(task.settings("mini"), **SMALL[name])
    task.draw(task.open(world, "mini", settings), settings, {"a": folder, "b": folder}, tmp_path / "pictures")
    assert (tmp_path / "pictures" / f"{name}.png").stat().st_size > 10_000
    assert (tmp_path / "pictures" / f"{name}-classes.png").is_file()


@pytest.mark.parametrize("name", ["segmentation-ridge", "segmentation-knn", "segmentation-retrieval"])
def test_runs_repeat_to_the_last_bit_and_seeds_matter_where_they_should(world, tmp_path, name):
    model, task = load_model(world / "random.safetensors"), BY_NAME[name]
    settings = dataclasses.replace(
        task.settings("mini"), **{**SMALL[name], **({"logistic": False} if "knn" in name else {})}
    )
    data = task.open(world, "mini", settings)

    def run(seed):
        place = Place(tmp_path / f"{seed}", "cpu", seed=seed, progress=False)
        return task.run(model, data, settings, "mini", place).metrics

    first = run(0)
    assert first == run(0)
    assert task.seeded == (name != "segmentation-ridge")
    if name == "segmentation-retrieval":
        assert first != run(1)


def test_what_was_learnt_with_labels_is_above_random_weights(world, tmp_path):
    task = BY_NAME["segmentation-ridge"]
    data = task.open(world, "mini", settings := task.settings("mini"))
    bounds = []
    for number, source in enumerate((world / "random.safetensors", POSITIVE_CONTROL)):
        place = Place(tmp_path / str(number), "cpu", progress=False)
        bounds.append(task.run(load_model(source), data, settings, "mini", place).interval["values"]["mIoU"])
    assert bounds[0][1] < bounds[1][0]


def test_linear_goes_on_from_its_snapshot_to_the_same_weights(world, tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.segmentation.linear.SNAPSHOT", 2)
    model, data = load_model(world / "random.safetensors"), open_segmentation(world, "mini")
    protocol = dataclasses.replace(protocols.LINEAR["dinov3"], iterations=4, batch=2, tokens=8, warmup=1)

    def trained(folder, steps):
        probe = Probe(model, 14, protocol, 64, torch.device("cpu"))
        step, count = probe.step, []

        def limited(*arguments):
            if len(count) == steps:
                raise KeyboardInterrupt
            count.append(1)
            return step(*arguments)

        monkeypatch.setattr(probe, "step", limited)
        probe.train(data.train, folder, 3, 0, False)
        return probe.head.conv.weight

    whole = trained(tmp_path / "whole", 9)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "parts", 3)
    assert torch.equal(trained(tmp_path / "parts", 2), whole)


def test_a_protocol_and_its_variants_are_told_apart(world):
    task, model = BY_NAME["segmentation-linear"], load_model(world / "random.safetensors")
    settings = task.settings("paper")
    data = open_segmentation(world, "mini")
    plan = task.plan(model, data, settings, "paper", Launch())
    assert plan.protocol == "dinov3"
    assert plan.variant == ""
    assert plan.resolved["protocol"]["learning_rate"] == 1e-3
    json.dumps(plan.resolved)
    other = task.plan(model, data, dataclasses.replace(settings, learning_rate=0.1), "paper", Launch())
    assert other.variant == "-learning_rate=0.1"
    named = task.plan(model, data, dataclasses.replace(settings, protocol="ibot"), "paper", Launch())
    assert named.protocol == "ibot"
    assert named.variant == ""
    assert named.resolved["protocol"]["layers"] == (3, 5, 7, 11)
    neco = task.resolved(model, data, dataclasses.replace(settings, protocol="neco", batch=4))
    assert neco.iterations == 25 * 3
    assert neco.mask_side == 100


@pytest.mark.parametrize("protocol", ["dinov2", "neco", "ibot"])
def test_the_other_linear_protocols_run(world, tmp_path, protocol):
    # Five-pixel patches would not divide; patch 8 pads 52 to 56, which is dinov2's rule.
    sizes = {"dinov2": {"side": 52}, "neco": {"side": 64, "mask_side": 20}, "ibot": {"side": 48, "layers": (0, 3)}}
    task = BY_NAME["segmentation-linear"]
    settings = dataclasses.replace(
        task.settings("mini"), protocol=protocol, tokens=0, iterations=2, batch=2, **sizes[protocol]
    )
    place = Place(tmp_path, "cpu", progress=False)
    found = task.run(
        load_model(world / "random.safetensors"), open_segmentation(world, "mini"), settings, "mini", place
    )
    assert found.metrics["mIoU"] is not None


def test_a_side_that_patches_do_not_fill_is_refused(world, tmp_path):
    task = BY_NAME["segmentation-linear"]
    settings = dataclasses.replace(task.settings("mini"), tokens=0, side=52)
    with pytest.raises(InputError, match="patches of 8 do not fill: give for instance 48"):
        task.run(load_model(world / "random.safetensors"), open_segmentation(world, "mini"), settings, "mini",
                 Place(tmp_path, "cpu", progress=False))  # fmt: skip


def test_void_in_the_memory_is_as_published_on_the_published_sets():
    task = BY_NAME["segmentation-retrieval"]
    for name, void in {"ade20k": "own", "voc": "first", "": "out"}.items():
        fake = dataclasses.make_dataclass("Data", ["name"])(name)
        assert task.resolved(None, fake, RetrievalSettings()).void == void


def test_views_are_functions_of_seed_and_number(world):
    data, model = open_segmentation(world, "mini"), load_model(world / "random.safetensors")
    protocol = dataclasses.replace(protocols.LINEAR["dinov3"], iterations=3, batch=4)
    one = augment.TrainingViews(model, data.train, protocol, 64, 0, 0)
    later = augment.TrainingViews(model, data.train, protocol, 64, 0, 5)
    assert len(one) == 12
    assert len(later) == 7
    assert torch.equal(one[7][0], later[2][0])
    assert torch.equal(one[7][1], later[2][1])
    assert not torch.equal(one[7][0], augment.TrainingViews(model, data.train, protocol, 64, 1, 0)[7][0])
    with pytest.raises(IndexError):
        one[12]


def test_the_memory_is_searched_from_the_disk_as_from_memory(tmp_path):
    rng = torch.Generator().manual_seed(0)
    rows, queries = torch.randn(400, 16, generator=rng), torch.randn(30, 16, generator=rng)
    cells = torch.randint(0, 5, (400, 4), generator=rng, dtype=torch.uint8)
    answers = [
        retrieval.answer(queries, banks.build(iter([(rows, cells)]), 400, 16, 4, folder), 7, 0.02, 5, "out")
        for folder in (None, tmp_path)
    ]
    torch.testing.assert_close(*answers)
    assert torch.equal(banks.opened(tmp_path).exact._read(3, 2), rows[3:5])
