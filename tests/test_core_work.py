"""Jobs in this process: what runs, what is done and found again, what has changed in between."""

import dataclasses
import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from cheap_jobs import Nobodys, good_model, planned, request
from cheap_task import Cheap, Settings

from benchmarks.claim import LOCK, held
from benchmarks.core import runner
from benchmarks.core.job import JOB_FILE, begun, read_job, recorded
from benchmarks.core.request import chosen, expand, listing
from benchmarks.core.result import read_results
from benchmarks.core.runner import evaluate, run_missing, work, work_on_file
from benchmarks.core.task import Launch, Place, Task
from benchmarks.errors import InputError


@pytest.fixture(autouse=True)
def of_ones_own(monkeypatch):
    monkeypatch.setenv("FLSL_TASKS", "cheap_task")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return good_model(tmp_path_factory.mktemp("weights"))


# Running what is missing.


class Itself(Cheap):
    shared_by = "itself"


@pytest.mark.parametrize(
    ("task", "options", "words", "at_once"),
    [
        (Cheap, {}, [], 1),
        (Cheap, {"gpus": 3}, [], 2),
        (Cheap, {"gpus": 3, "launcher": "torchrun"}, ["-m", "torch.distributed.run"], 1),
        (Itself, {"gpus": 3, "launcher": "torchrun"}, [], 1),
        (Nobodys, {"gpus": 3, "launcher": "torchrun"}, [], 2),
    ],
)
def test_a_process_for_every_missing_job(model, tmp_path, monkeypatch, capsys, task, options, words, at_once):
    asked = request(model, tmp_path, task(), seeds=(0, 1), **options)
    jobs, out, started = expand(asked)[0], tmp_path / "out", []

    def run_here(commands, side_by_side, report):
        started.append(side_by_side)
        for command, job, error in zip(commands, jobs, ("it is broken", None), strict=True):
            assert command.label == job.label
            assert command.log == out / "logs" / f"{job.label}.log"
            assert list(command.words)[1 : 1 + len(words)] == words
            assert list(command.words)[-3:] == ["-m", "benchmarks.core.worker", str(out / job.label / JOB_FILE)]
            report(command, error)

    monkeypatch.setattr(runner, "run_here", run_here)
    clock = iter((0.0, 18.0, 600.0, 600.0))
    monkeypatch.setattr(runner, "time", SimpleNamespace(monotonic=clock.__next__))
    assert run_missing(asked, jobs, out) == {jobs[0]: "it is broken", jobs[1]: "ended without a record"}
    assert started == [at_once]
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith("[1/2, 0.3 min] ")
    assert said[0].endswith(f"{jobs[0].label} failed: it is broken")
    assert said[1].startswith("[2/2, 10.0 min] ")
    work(jobs[0], out)
    monkeypatch.setattr(runner, "run_here", lambda commands, *_: started.append([c.label for c in commands]))
    run_missing(asked, jobs, out)
    assert started[1:] == [[jobs[1].label]]


@pytest.mark.parametrize(("task", "gpus"), [(Cheap, 2), (Itself, 2), (Nobodys, 1)])
def test_a_slurm_job_for_every_missing_job(model, tmp_path, monkeypatch, task, gpus):
    asked = request(model, tmp_path, task(), gpus=2, launcher="slurm")
    jobs, out, given = expand(asked)[0], tmp_path / "out", []
    monkeypatch.setattr(runner, "run_on_slurm", lambda *words: given.append(words))
    required = []
    monkeypatch.setattr(Cheap, "require", lambda self, *words: required.append(words))
    assert run_missing(asked, jobs, out) == {}
    commands, *others, _ = given[0]
    assert ([command.label for command in commands], required) == ([jobs[0].label], [("mini", "auto")])
    assert others == [gpus, 1, asked.slurm, out / "logs" / "slurm"]
    assert run_missing(asked, [], out) == {}
    assert (len(given), len(required)) == (1, 1)  # where nothing is missing, nothing is asked of the machine


# The states of a job.


def test_a_job_is_missing_running_half_done_done(model, tmp_path):
    (job,), (other,) = planned(model, tmp_path), planned(model, tmp_path, settings=Settings(2))
    out = tmp_path / "out"
    folder = out / job.label

    def states():
        lines = listing([job, other], out, {job: "run it", other: "run other"}, {job: "a minute", other: "two"})
        assert lines[1:3] == ["  a detail", "  run it"]
        assert lines[3].endswith(": missing; two")
        prefix = f"job {job.hash}: good, seed 0: "
        assert lines[0].startswith(prefix)
        assert lines[0].endswith("; a minute")
        return lines[0].removeprefix(prefix).removesuffix("; a minute"), lines[-1]

    assert states() == ("missing", "2 jobs, 0 done, 2 to do")
    job.write(out)
    (folder / LOCK).touch()
    assert states()[0] == "missing"
    assert not begun(folder)
    with held(folder):
        assert states()[0].startswith(f"running: process {os.getpid()} on ")
    (folder / "snapshot.json").write_text('{"step": 1, "began": [0]}')
    assert states()[0] == "half done"
    assert begun(folder)
    result = work(job, out)
    assert (result.run["steps"], result.job, result.study) == ([0, 1], job.hash, job.study)
    assert states() == ("done", "2 jobs, 1 done, 1 to do")
    assert list(recorded(out)) == [job.hash]


def test_a_result_says_what_was_run(model, tmp_path):
    (job,) = planned(model, tmp_path, seeds=(4,))
    result = work(job, tmp_path / "out")
    (stored,) = read_results(tmp_path / "out" / "records")
    assert stored.to_dict() == result.to_dict()
    assert (result.benchmark, result.task, result.task_version, result.protocol) == ("cheap", "cheap", 1, "cheap")
    assert (result.scale, result.name, result.metrics, result.seed) == ("mini", "good", {"score": 44.0}, 4)
    assert result.settings == {"level": 1, "side_by_side": 1}
    assert result.checkpoint == {"sha256": model.sha256, "card": model.card.to_dict()}
    assert result.data == {"name": "none", "files": 0, "annotations_sha256": "", "images_sha256": ""}
    assert result.artefacts == job.label
    assert 0 <= result.seconds < 60


def test_a_worker_does_the_job_of_its_file_in_the_folder_above_and_leaves(model, tmp_path, monkeypatch):
    left = []
    monkeypatch.setattr(runner, "leave", lambda: left.append(True))
    (job,) = planned(model, tmp_path)
    path = job.write(tmp_path / "out")
    work_on_file(path)
    assert [result.job for result in read_results(tmp_path / "out" / "records")] == [job.hash]
    (tmp_path / "fingerprint").write_text("other data")
    (other,) = planned(model, tmp_path)
    (tmp_path / "fingerprint").unlink()
    with pytest.raises(InputError, match="data of"):
        work_on_file(other.write(tmp_path / "out"))
    assert left == [True, True]


def test_what_a_task_is_where_it_does_not_say():
    assert Task.__abstractmethods__ == {"settings", "open", "fingerprint", "run"}
    assert (Launch(), Launch().devices) == (Launch("none", 1, 1, None), 1)
    assert Place(tmp := Path("x")) == Place(tmp, "auto", Launch(), 0, True)
    assert (Task.version, Task.seeded, Task.needs, Task.mini_minutes) == (1, True, "features", 1.0)
    assert (Task.engine, Task.shared_by, Task.frozen_task, Task.free) == (None, "nobody", None, ())


def test_a_job_shows_its_progress_unless_told_not_to(model, tmp_path, monkeypatch):
    (job,), shown, right = planned(model, tmp_path), [], Cheap.run
    monkeypatch.setattr(Cheap, "run", lambda self, *a: shown.append(a[-1].progress) or right(self, *a))
    work(job, tmp_path / "a")
    work(job, tmp_path / "b", progress=False)
    evaluate(model, "cheap", tmp_path, "mini", tmp_path / "c")
    evaluate(model, "cheap", tmp_path, "mini", tmp_path / "d", progress=False)
    assert shown == [True, False, True, False]


def test_what_is_recorded_is_not_done_again(model, tmp_path, monkeypatch, capsys):
    (job,) = planned(model, tmp_path)
    out = tmp_path / "out"
    first = work(job, out)
    monkeypatch.setattr(Cheap, "run", lambda *_: pytest.fail("it ran"))
    assert work(job, out) is None
    assert "done already: " in capsys.readouterr().err
    assert evaluate(model, "cheap", tmp_path, "mini", out).to_dict() == first.to_dict()
    assert run_missing(request(model, tmp_path), [job], out) == {}


def test_settings_that_are_changed_make_another_result(model, tmp_path):
    one = evaluate(model, "cheap", tmp_path, "mini", tmp_path / "out", seed=2)
    other = evaluate(model, Cheap(), tmp_path, "mini", tmp_path / "out", seed=2, settings={"level": 3})
    assert (one.metrics, one.settings["level"], other.settings["level"]) == ({"score": 42.0}, 1, 3)
    assert len(read_results(tmp_path / "out" / "records")) == 2


def test_a_task_that_is_in_no_list_is_judged_by_its_object(model, tmp_path, monkeypatch):
    monkeypatch.delenv("FLSL_TASKS")
    own = Cheap()
    own.name = "nowhere-listed"
    result = evaluate(model, own, tmp_path, "mini", tmp_path / "out", seed=2)
    assert (result.task, result.metrics) == ("nowhere-listed", {"score": 42.0})


def test_what_a_killed_writer_left_goes_when_the_job_goes_on(model, tmp_path):
    (job,) = planned(model, tmp_path)
    folder, records = job.write(tmp_path / "out").parent, tmp_path / "out" / "records"
    (folder / "deep").mkdir()
    records.mkdir()
    half = [folder / "deep" / ".x.png", folder / ".y", records / f".cheap-good-seed0-{job.hash}.0a1b.json"]
    kept = [folder / ".lock", folder / "deep" / "x.png", records / ".cheap-good-seed0-0123456789.0a1b.json"]
    for path in half + kept:
        path.touch()
    work(job, tmp_path / "out")
    assert [path.exists() for path in half] == [False, False, True]  # the record's is the driver's
    with held(folder):  # nobody touches what another is writing
        run_missing(request(model, tmp_path), [job], tmp_path / "out")
    assert half[2].exists()
    run_missing(request(model, tmp_path), [job], tmp_path / "out")
    assert not half[2].exists()
    assert all(path.exists() for path in kept)


# What has changed since it was planned.


@pytest.mark.parametrize(("change", "line"), [("data", "data of"), ("version", "version of"), ("plan", "resolved of")])
def test_a_job_that_is_no_longer_what_was_planned_is_not_run(model, tmp_path, monkeypatch, change, line):
    (job,) = planned(model, tmp_path)
    if change == "data":
        (tmp_path / "fingerprint").write_text("other data")
    elif change == "version":
        monkeypatch.setattr(Cheap, "version", 7)
    else:
        plan = Cheap.plan
        monkeypatch.setattr(Cheap, "plan", lambda *a: dataclasses.replace(plan(*a), resolved={"level": 8}))
    with pytest.raises(InputError, match=f"{line}.* has changed since it was planned: start the command again"):
        work(job, tmp_path / "out")
    assert not list((tmp_path / "out").rglob("*.json"))


def test_the_other_processes_of_a_job_run_it_and_write_nothing(model, tmp_path, monkeypatch):
    (job,) = planned(model, tmp_path)
    (tmp_path / "fingerprint").write_text("other data")  # which the first process alone compares
    monkeypatch.setenv("RANK", "1")
    ran = []
    monkeypatch.setattr(Cheap, "run", lambda *a: ran.append(a[-1]))
    assert work(job, tmp_path / "out") is None
    (place,) = ran
    assert (place.folder, place.seed, place.progress) == (tmp_path / "out" / job.label, 0, False)
    assert place.launch.claim is None
    monkeypatch.setattr(runner, "recorded", lambda out: {job.hash: out})
    assert work(job, tmp_path / "out") is None
    assert len(ran) == 1


def test_a_job_is_begun_and_ended_on_as_many_devices(model, tmp_path):
    (job,) = planned(model, tmp_path)
    (two,) = planned(model, tmp_path, gpus=2, launcher="torchrun")
    assert (job.devices, two.devices) == (1, 2)
    assert job.hash == two.hash
    out = tmp_path / "out"
    job.write(out)
    two.write(out)  # nothing was done yet
    (out / job.label / "snapshot.json").touch()
    two.write(out)
    with pytest.raises(InputError, match="was begun on 2 devices: go on with as many, or remove it"):
        job.write(out)
    assert read_job(out / job.label / JOB_FILE).devices == 2
    (other,) = planned(model, tmp_path, settings=Settings(2))
    (out / other.label / "deep").mkdir(parents=True)
    other.write(out)
    with pytest.raises(InputError, match="was begun on 1 devices"):
        planned(model, tmp_path, settings=Settings(2), gpus=2, launcher="torchrun")[0].write(out)


@pytest.mark.parametrize("content", ["0" * 64, "f" * 64])
def test_weights_that_are_others_since_are_not_judged(model, tmp_path, monkeypatch, content):
    (job,) = planned(model, tmp_path)
    assert job.model().sha256 == model.sha256
    monkeypatch.setattr("benchmarks.files.sha256_of", lambda path: content)
    with pytest.raises(InputError, match="has changed since the job was planned"):
        job.model()


@pytest.mark.parametrize("content", [[], {"details": []}, {"task": "cheap", "details": [], "command": []}])
def test_a_file_that_is_no_job(tmp_path, content):
    (tmp_path / "job.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="is no file of a job"):
        read_job(tmp_path / "job.json")


def test_a_job_is_chosen_by_its_name(model, tmp_path):
    jobs = planned(model, tmp_path, seeds=(0, 1))
    assert chosen(jobs, jobs[1].hash) is jobs[1]
    with pytest.raises(InputError, match=f"--job x is none of this command's: {jobs[0].hash}, {jobs[1].hash} "):
        chosen(jobs, "x")
