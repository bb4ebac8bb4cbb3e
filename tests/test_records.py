"""Result records and the table over them."""

import copy
import datetime
import json
import os
from pathlib import Path

import pytest

from benchmarks.controls import write_random_control
from benchmarks.errors import InputError
from benchmarks.records import (
    FIELDS,
    RECORD_VERSION,
    fingerprint,
    make_record,
    read_record,
    read_records,
    validate,
    write_record,
)
from benchmarks.tables import overview


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    path = tmp_path_factory.mktemp("made") / "random.safetensors"
    write_random_control(path, seed=0)
    started = datetime.datetime(2026, 11, 23, tzinfo=datetime.timezone.utc)
    result = {"metrics": {"bbox/AP": 12.5, "segm/AP": None}, "run": {"iterations": 3}}
    data = {"name": "coco", "files": 2, "annotations_sha256": "0" * 64}
    return make_record("coco", "test", "mini", "random", path, data, result, 0, started)


@pytest.fixture
def record(made):
    return copy.deepcopy(made)


def test_a_record_survives_the_disk_and_none_overwrites_another(record, tmp_path):
    one = write_record(tmp_path / "records", record)
    other = write_record(tmp_path / "records", record | {"seed": 1})
    assert one != other
    assert read_records(tmp_path / "records") == sorted(
        [json.loads(p.read_text()) for p in (tmp_path / "records").iterdir()], key=lambda r: (r["started"], r["seed"])
    )
    assert record.keys() == FIELDS.keys()


def test_a_job_has_one_record(record, tmp_path):
    path = write_record(tmp_path, record | {"job": "abc"})
    assert path.name == "coco-random-seed0-abc.json"
    content = path.read_bytes()
    with pytest.raises(InputError, match="a job has one record"):
        write_record(tmp_path, record | {"job": "abc", "started": "2026-11-24T00:00:00+00:00"})
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
        write_record(tmp_path, record)
    assert read_records(tmp_path) == []


def test_version_1_is_read_as_version_2_and_a_newer_one_is_refused(tmp_path):
    old = Path(__file__).parent / "data" / "records" / "version1.json"
    stored, record = json.loads(old.read_text()), read_record(old)
    assert stored["record_version"] == 1
    assert (record["record_version"], record["job"], record["interval"]) == (RECORD_VERSION, "", {})
    assert {k: v for k, v in record.items() if k in stored and k != "record_version"} == {
        k: v for k, v in stored.items() if k != "record_version"
    }
    for version, line in ((3, "of version 3, and this suite reads up to 2"), ("2", "it has no record_version")):
        (tmp_path / "x.json").write_text(json.dumps(stored | {"record_version": version}))
        with pytest.raises(InputError, match=rf"x.json .*{line}"):
            read_records(tmp_path)


def test_every_field_is_documented():
    text = (Path(__file__).parents[1] / "docs" / "records.md").read_text()
    for name, kind in FIELDS.items():
        for part in [f"{name}.{inner}" for inner in kind] if isinstance(kind, dict) else [name]:
            assert f"| `{part}` |" in text


@pytest.mark.parametrize(
    "change",
    [
        {"seed": True},
        {"scale": "big"},
        {"started": "yesterday"},
        {"checkpoint": {"sha256": "0"}},
        {"code": {"commit": 1, "dirty": None}},
        {"interval": {"level": 0.95}},
    ],
)
def test_a_wrong_value_is_named(record, change):
    with pytest.raises(InputError, match=f"a record: fields .*{next(iter(change))}"):
        validate(record | change, "a record")


@pytest.mark.parametrize("fault", ["missing", "unknown", "type"])
def test_an_incomplete_record_is_refused(record, tmp_path, fault):
    if fault == "missing":
        del record["seed"]
    else:
        record["surplus" if fault == "unknown" else "seed"] = "x"
    with pytest.raises(InputError, match="surplus" if fault == "unknown" else "seed"):
        write_record(tmp_path, record)
    assert not list(tmp_path.glob("*coco-*"))


def test_the_fingerprint_sees_a_changed_annotation(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("{}")
    before = fingerprint(tmp_path, [path])
    path.write_text("[]")
    assert fingerprint(tmp_path, [path]) != before


def test_the_table_says_mini_and_shows_no_score_as_a_dash(record):
    text = overview.text([record])
    assert "12.50" in text
    assert "not a reproduction" in text
    assert overview.values([record])["random"][0][-1] is None
    assert text.splitlines()[2].rstrip().endswith("-")


def test_the_table_gives_mean_and_spread_and_counts_the_seeds_in_which_the_control_wins(record):
    def scored(name, seed, value):
        return record | {"name": name, "seed": seed, "metrics": record["metrics"] | {"segm/AP": value}}

    records = [scored("random", 0, 1.0), scored("random", 1, 3.0), scored("supervised", 0, 5.0)]
    lines = overview.text([*records, scored("supervised", 1, 2.0)]).splitlines()
    assert "2.00 ± 1.41" in lines[2]
    assert "3.50 ± 2.12" in lines[3]
    assert lines[-1] == "seeds in which supervised beats random: mask AP 1 of 2"
