"""Jobs in this process: how they are started, what is planned, what makes another job."""

import dataclasses
import hashlib
from pathlib import Path

import pytest
from cheap_jobs import Nobodys, Unseeded, Version2, good_model, planned, request
from cheap_task import Cheap, Settings

from benchmarks.core.job import digest
from benchmarks.core.model import load_model
from benchmarks.core.request import Entry, Request, expand
from benchmarks.core.task import Launch
from benchmarks.errors import InputError


@pytest.fixture(autouse=True)
def of_ones_own(monkeypatch):
    monkeypatch.setenv("FLSL_TASKS", "cheap_task")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return good_model(tmp_path_factory.mktemp("weights"))


# Launching.


@pytest.mark.parametrize(
    ("task", "options", "launch"),
    [
        (Cheap, {}, Launch()),
        (Cheap, {"gpus": 4}, Launch()),  # four jobs side by side
        (Cheap, {"gpus": 4, "launcher": "torchrun"}, Launch("torchrun", 4)),
        (Cheap, {"gpus": 1, "launcher": "torchrun"}, Launch("torchrun", 1)),
        (Cheap, {"gpus": 2, "nodes": 2, "launcher": "torchrun", "rendezvous": "h:1"}, Launch("torchrun", 2, 2)),
        (Cheap, {"gpus": 1, "launcher": "slurm"}, Launch()),
        (Cheap, {"gpus": 2, "launcher": "slurm"}, Launch("torchrun", 2)),
        (Cheap, {"gpus": 1, "nodes": 2, "launcher": "slurm"}, Launch("torchrun", 1, 2)),
        (Nobodys, {"gpus": 4, "launcher": "torchrun"}, Launch()),
        (Nobodys, {"gpus": 1, "launcher": "slurm"}, Launch()),
    ],
)
def test_how_a_job_is_started(model, tmp_path, task, options, launch):
    assert request(model, tmp_path, task(), **options).launch == launch


@pytest.mark.parametrize(
    ("task", "options", "line"),
    [
        (Cheap, {"gpus": 0}, "--gpus is 0 and --nodes 1"),
        (Cheap, {"nodes": 0}, "--gpus is 1 and --nodes 0"),
        (Cheap, {"nodes": 2}, "--nodes takes --launcher"),
        (Cheap, {"nodes": 2, "launcher": "torchrun"}, "takes --rdzv-endpoint"),
        (Nobodys, {"nodes": 2, "launcher": "slurm"}, "is one machine's"),
        (Cheap, {"gpus": 3}, "--gpus 3, but torch finds 2 here"),
        (Nobodys, {"gpus": 3, "launcher": "torchrun"}, "--gpus 3, but torch finds 2 here"),
    ],
)
def test_a_launch_that_makes_no_sense_is_one_line(model, tmp_path, monkeypatch, task, options, line):
    monkeypatch.setattr("benchmarks.core.request.visible_gpus", lambda: ["0", "1"])
    with pytest.raises(InputError, match=line):
        _ = request(model, tmp_path, task(), **options).launch
    # As many as there are is not too many.
    assert request(model, tmp_path, task(), gpus=2).launch == Launch()
    assert request(model, tmp_path, task(), gpus=2).side_by_side == 2
    assert request(model, tmp_path, gpus=3, launcher="torchrun").side_by_side == 1


# Planning.


def test_a_job_for_every_entry_and_seed_and_none_twice(model, tmp_path):
    jobs = planned(model, tmp_path, seeds=(3, 0, 3))
    assert [(job.name, job.seed, job.protocol, job.details) for job in jobs] == [
        ("good", 3, "cheap", ("a detail",)),
        ("good", 0, "cheap", ("a detail",)),
    ]
    assert len({job.hash for job in jobs}) == 2
    assert len({job.study for job in jobs}) == 1
    assert [job.seed for job in planned(model, tmp_path, Unseeded(), seeds=(3, 4))] == [0]
    one = jobs[1]
    assert one.label == f"good-cheap-seed0-{one.hash}"
    assert len(one.hash) == len(one.study) == 10
    assert one.checkpoint == str(model.checkpoint.resolve())
    assert Path(one.data_root) == tmp_path.resolve()
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.seed = 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        Launch().gpus = 2


def test_what_makes_another_job_and_what_does_not(model, tmp_path):
    def hash_of(*arguments, **options):
        (job,) = planned(model, tmp_path, *arguments, **options)
        studies.add(job.study)
        return job.hash

    studies = set()
    one = hash_of()
    assert hash_of(settings=Settings(side_by_side=9)) == one
    assert hash_of(device="cpu", gpus=2, launcher="torchrun") == one
    assert hash_of(settings=Settings(level=2)) != one
    assert hash_of(Version2()) != one
    (tmp_path / "fingerprint").write_text("other data")
    assert hash_of() != one
    assert len(studies) == 4
    assert hash_of(seeds=(1,)) != hash_of()
    assert len(studies) == 4  # seeds are of one study


def test_an_identity_is_the_same_in_any_order():
    digits = hashlib.sha256(b'{"a": 2, "b": [1]}').hexdigest()
    assert digest({"b": [1], "a": 2}) == digest({"a": 2, "b": [1]}) == digits


def test_two_entries_of_the_same_job_are_refused_and_one_of_another_setting_is_opened_anew(model, tmp_path):
    opened = []

    class Opened(Cheap):
        def open(self, data_root, scale, settings):
            opened.append(settings)
            return super().open(data_root, scale, settings)

    entries = [Entry(name, model, Settings(level)) for name, level in (("a", 1), ("b", 1), ("c", 2))]
    jobs, data = expand(Request(Opened(), entries[1:], tmp_path, "mini"))
    assert ([job.name for job in jobs], data, opened) == (["b", "c"], "", [Settings(1), Settings(2)])
    with pytest.raises(InputError, match="a and b are the same weights with the same settings: leave one out"):
        expand(Request(Opened(), entries, tmp_path, "mini"))
    assert opened[2:] == [Settings(1)]  # once for two entries


def test_a_task_that_trains_takes_a_checkpoint_or_makes_its_own(model, tmp_path):
    class Trains(Cheap):
        needs = "weights"

    function = load_model(lambda images: images.mean(1, keepdim=True).flatten(2).mT[:, ::64], patch_size=8, name="f")
    with pytest.raises(InputError, match="cheap takes a checkpoint"):
        planned(function, tmp_path, Trains())
    assert planned(function, tmp_path)[0].checkpoint == ""
    assert planned(model, tmp_path, Trains())[0].checkpoint_sha256 == model.sha256
    (job,), _ = expand(Request(Trains(), [Entry("own", None, Settings())], tmp_path, "mini"))
    assert (job.label, job.checkpoint, job.checkpoint_sha256) == (f"own-cheap-seed0-{job.hash}", "", "")
