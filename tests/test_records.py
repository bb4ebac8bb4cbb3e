"""Result records and the table over them."""

import datetime
import json

import pytest

from benchmarks.controls import write_random_control
from benchmarks.errors import InputError
from benchmarks.records import FIELDS, fingerprint, make_record, read_records, write_record
from benchmarks.tables import overview


@pytest.fixture
def record(tmp_path):
    write_random_control(tmp_path / "random.safetensors", seed=0)
    started = datetime.datetime(2026, 11, 23, tzinfo=datetime.timezone.utc)
    result = {"metrics": {"bbox/AP": 12.5, "segm/AP": None}, "run": {"iterations": 3}}
    data = {"name": "coco", "files": 2, "annotations_sha256": "0" * 64}
    path = tmp_path / "random.safetensors"
    return make_record("coco", "test", "mini", "random", path, data, result, 0, started)


def test_a_record_survives_the_disk_and_none_overwrites_another(record, tmp_path):
    one = write_record(tmp_path / "records", record)
    other = write_record(tmp_path / "records", record | {"seed": 1})
    assert one != other
    assert read_records(tmp_path / "records") == sorted(
        [json.loads(p.read_text()) for p in (tmp_path / "records").iterdir()], key=lambda r: (r["started"], r["seed"])
    )
    assert record.keys() == FIELDS.keys()


@pytest.mark.parametrize("fault", ["missing", "unknown", "type"])
def test_an_incomplete_record_is_refused(record, tmp_path, fault):
    if fault == "missing":
        del record["seed"]
    else:
        record["surplus" if fault == "unknown" else "seed"] = "x"
    with pytest.raises(InputError, match="surplus" if fault == "unknown" else "seed"):
        write_record(tmp_path, record)
    assert not list(tmp_path.glob("coco-*.json"))


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
