"""Records, the identity of data, and the table over them."""

import dataclasses
import datetime
import json
import os
from pathlib import Path

import pytest

from benchmarks.controls import write_random_control
from benchmarks.core.data import fingerprint
from benchmarks.core.model import load_model
from benchmarks.core.result import INNER, RECORD_VERSION, Result, free_result, read_result, read_results
from benchmarks.errors import InputError
from benchmarks.tables import overview

FIELDS = [field.name for field in dataclasses.fields(Result)]


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    path = tmp_path_factory.mktemp("made") / "random.safetensors"
    write_random_control(path, seed=0)
    started = datetime.datetime(2026, 11, 23, tzinfo=datetime.timezone.utc)
    metrics = {"bbox/AP": 12.5, "segm/AP": None}
    data = {"name": "coco", "files": 2, "annotations_sha256": "0" * 64, "images_sha256": ""}
    return free_result(load_model(path), "coco", "test", metrics, {"iterations": 3}, data, 0, started)


def test_a_record_survives_the_disk_and_none_overwrites_another(record, tmp_path):
    one = record.write(tmp_path / "records")
    other = dataclasses.replace(record, seed=1).write(tmp_path / "records")
    assert one != other
    assert sorted(r.seed for r in read_results(tmp_path / "records")) == [0, 1]
    assert read_result(one).to_dict() == record.to_dict()
    assert list(json.loads(one.read_text())) == FIELDS


def test_a_job_has_one_record(record, tmp_path):
    path = dataclasses.replace(record, job="abc").write(tmp_path)
    assert path.name == "coco-random-seed0-abc.json"
    content = path.read_bytes()
    with pytest.raises(InputError, match="a job has one record"):
        dataclasses.replace(record, job="abc", started="2026-11-24T00:00:00+00:00").write(tmp_path)
    assert path.read_bytes() == content
    assert [p.name for p in tmp_path.glob("*coco*")] == [path.name]


def test_a_kill_while_writing_leaves_nothing_that_counts(record, tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    def killed(*_):
        (half,) = tmp_path.glob(".coco*")
        half.with_name(".left.json").write_bytes(half.read_bytes()[:50])
        raise Killed

    monkeypatch.setattr(os, "link", killed)
    with pytest.raises(Killed):
        record.write(tmp_path)
    assert read_results(tmp_path) == []


def test_older_versions_are_read_and_a_newer_one_is_refused(tmp_path):
    old = Path(__file__).parent / "data" / "records" / "version1.json"
    stored, record = json.loads(old.read_text()), read_result(old)
    assert stored["record_version"] == 1
    assert (record.record_version, record.job, record.interval, record.task) == (RECORD_VERSION, "", {}, "")
    assert (record.task_version, record.settings) == (0, {})  # what nobody noted is no version of a task
    with pytest.raises(InputError, match=r"^record .*none\.json"):
        read_result(tmp_path / "none.json")
    assert record.whose.method == ""  # nobody said whose weights they were
    kept = {k: v for k, v in record.to_dict().items() if k in stored and k not in ("record_version", "data", "code")}
    assert kept == {k: v for k, v in stored.items() if k not in ("record_version", "data", "code")}
    assert record.data == {**stored["data"], "images_sha256": ""}
    second = stored | {"record_version": 2, "job": "j", "study": "s", "interval": {}, "artefacts": "x"}
    (tmp_path / "x.json").write_text(json.dumps(second))
    assert (read_result(tmp_path / "x.json").job, read_result(tmp_path / "x.json").artefacts) == ("j", "x")
    for version, line in ((4, "of version 4, and this suite reads up to 3"), ("2", "it has no record_version")):
        (tmp_path / "x.json").write_text(json.dumps(stored | {"record_version": version}))
        with pytest.raises(InputError, match=rf"x.json .*{line}"):
            read_results(tmp_path)


def test_every_field_is_documented():
    text = (Path(__file__).parents[1] / "docs" / "records.md").read_text()
    for name in FIELDS:
        for part in [f"{name}.{inner}" for inner in INNER[name]] if name in INNER else [name]:
            assert f"| `{part}` |" in text


@pytest.mark.parametrize(
    "change",
    [
        {"seed": True},
        {"scale": "big"},
        {"started": "yesterday"},
        {"checkpoint": {"sha256": "0"}},
        {"code": {"version": "1", "commit": 1, "dirty": None}},
        {"interval": {"level": 0.95}},
        {"metrics": []},
        {"task_version": "1"},
        {"seconds": "3"},
        {"seconds": True},
        {"task_version": False},
        {"attribution": {"method": "", "epochs": True, "data": "", "source": ""}},
        {"attribution": {"method": "", "epochs": None, "data": "", "source": None}},
        {"code": {"version": "1", "commit": None, "dirty": 1}},
        {"data": {"name": "coco", "files": 2, "annotations_sha256": "0", "images_sha256": "", "root": "/"}},
    ],
)
def test_a_wrong_value_is_named(record, change):
    with pytest.raises(InputError, match=f"a record: fields .*{next(iter(change))}"):
        Result.from_dict(record.to_dict() | change, "a record")


def test_what_json_makes_of_a_record_is_sound(record):
    content = record.to_dict()
    content |= {"seconds": 3, "code": {"version": "1", "commit": "c", "dirty": True}, "artefacts": "x"}
    content["interval"] = {"level": 0.95, "over": "images", "units": 2, "resamples": 9, "seed": 0, "values": {}}
    content["attribution"] = {"method": "MAE", "epochs": 3, "data": "", "source": "user"}
    assert Result.from_dict(content, "a record").to_dict() == content


def test_a_run_that_is_no_job_is_called_by_its_start_and_content(record, tmp_path):
    path = record.write(tmp_path)
    name, seed, stamp, content = path.stem.rsplit("-", 3)
    assert (name, seed, stamp, len(content)) == ("coco-random", "seed0", "20261123000000", 8)
    assert path.suffix == ".json"
    assert record.scale == "mini"
    assert record.architecture["embed_dim"] == record.checkpoint["card"]["architecture"]["embed_dim"]
    assert (record.whose.source, record.record_version) == ("", RECORD_VERSION)
    assert record.device.startswith("cpu, ")
    later = dataclasses.replace(record, started="2026-11-22T00:00:00+00:00").write(tmp_path)
    assert [result.started for result in read_results(tmp_path)] == ["2026-11-22T00:00:00+00:00", record.started]
    assert later != path


def test_a_file_system_without_hard_links_keeps_one_record_too(record, tmp_path, monkeypatch):
    def refused(*_):
        raise PermissionError("no links here")

    monkeypatch.setattr(os, "link", refused)
    one = dataclasses.replace(record, job="abc")
    path = one.write(tmp_path)
    assert read_result(path).to_dict() == one.to_dict()
    with pytest.raises(InputError, match="is there already: a job has one record"):
        dataclasses.replace(one, seconds=9.0).write(tmp_path)
    assert read_result(path).to_dict() == one.to_dict()
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("fault", ["missing", "unknown", "type"])
def test_an_incomplete_record_is_refused(record, tmp_path, fault):
    content = record.to_dict()
    if fault == "missing":
        del content["seed"]
    else:
        content["surplus" if fault == "unknown" else "seed"] = "x"
    (tmp_path / "coco.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="surplus" if fault == "unknown" else "seed"):
        read_results(tmp_path)


def test_a_data_sets_identity_is_what_it_lists_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.setenv("FLSL_CACHE", str(tmp_path / "cache"))

    def make(name):
        root = tmp_path / name / "set"
        (root / "train").mkdir(parents=True)
        (root / "a.json").write_text("{}")
        (root / "train" / "1.jpg").write_bytes(b"12345")
        return root

    def own(root):
        return fingerprint(root, [root / "a.json"], sorted((root / "train").glob("*.jpg"))).identity

    one, other = make("one"), make("two")
    before = own(one)
    assert own(other) == before  # where it lies does not matter
    (one / "train2017.zip").write_bytes(b"138 GB")
    (one / "train" / ".DS_Store").write_bytes(b"x")
    assert own(one) == before  # nor what is not listed
    os.utime(one / "a.json", (1, 1))
    assert own(one) == before  # nor dates
    (one / "a.json").write_text("[]")
    assert own(one)["annotations_sha256"] != before["annotations_sha256"]
    (one / "a.json").write_text("{}")
    assert own(one) == before
    (one / "train" / "1.jpg").write_bytes(b"123456")
    assert own(one)["images_sha256"] != before["images_sha256"]
    (one / "train" / "1.jpg").rename(one / "train" / "2.jpg")
    assert len({str(own(root)) for root in (one, other)}) == 2


def test_a_hash_is_kept_until_the_file_changes(tmp_path, monkeypatch):
    monkeypatch.setenv("FLSL_CACHE", str(tmp_path / "cache"))
    (tmp_path / "set").mkdir()
    path = tmp_path / "set" / "a.json"
    path.write_text("{}")
    read = []
    monkeypatch.setattr("benchmarks.core.data.sha256_of", lambda p: read.append(p) or f"{p.read_text()}")
    for _ in range(3):
        fingerprint(tmp_path / "set", [path], ())
    assert len(read) == 1
    path.write_text("[1]")
    fingerprint(tmp_path / "set", [path], ())
    assert len(read) == 2


def scored(record, name, seed, value):
    return dataclasses.replace(record, name=name, seed=seed, metrics=record.metrics | {"segm/AP": value})


def test_the_table_says_mini_and_shows_no_score_as_a_dash(record):
    text = overview.text([record])
    assert "12.50" in text
    assert "not a reproduction" in text
    assert overview.values([record])["random"][0][-1] is None
    assert text.splitlines()[2].rstrip().endswith("-")


def test_the_table_gives_mean_and_spread_and_counts_the_seeds_in_which_the_control_wins(record):
    records = [scored(record, "random", 0, 1.0), scored(record, "random", 1, 3.0), scored(record, "supervised", 0, 5.0)]
    lines = overview.text([*records, scored(record, "supervised", 1, 2.0)]).splitlines()
    assert "2.00 ± 1.41" in lines[2]
    assert "3.50 ± 2.12" in lines[3]
    assert lines[-1] == "seeds in which supervised beats random: mask AP 1 of 2"
