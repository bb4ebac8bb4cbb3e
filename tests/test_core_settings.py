"""What a job is known by, piece by piece: settings and their flags, attributions, the identity of files."""

import argparse
import dataclasses
import os
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Optional

import pytest
from results import result

from benchmarks.controls import POSITIVE_CONTROL
from benchmarks.core import settings as of_settings
from benchmarks.core.attribution import Attribution
from benchmarks.core.data import Fingerprint, KeptFacts, cache_folder, fingerprint, namer
from benchmarks.core.departures import departures
from benchmarks.core.model import load_model
from benchmarks.core.settings import option
from benchmarks.core.task import Launch, scale_or_error
from benchmarks.core.tasks import task_named
from benchmarks.errors import InputError


@dataclass(frozen=True)
class Inner:
    radius: int = 12
    sides: tuple[int, ...] = (480, 832)


@dataclass(frozen=True)
class Settings:
    rate: float = option(0.1, "of learning")
    name: str = option("a", "of nothing", choices=("a", "b"))
    layers: tuple[int, ...] = option((3, 5), "to use")
    wide: bool = option(False, "or not")
    updates: int | None = option(None, "instead of epochs")
    limit: Optional[float] = option(None, "of time")  # noqa: UP045 (people write it so too)
    workers: int = option(4, "that read", launch=True)
    inner: Inner = field(default_factory=Inner)
    loss: dict[str, float] = field(default_factory=dict)


@pytest.fixture
def parser():
    parser = argparse.ArgumentParser(exit_on_error=False)
    of_settings.add_flags(parser, {"paper": Settings(), "mini": Settings(rate=0.2)})
    return parser


def test_flags_are_the_fields_with_a_text_and_say_the_defaults_of_both_scales(parser):
    text = " ".join(parser.format_help().split())
    for line in ("of learning (default: 0.1 / 0.2)", "that read (default: 4)", "{a,b} of nothing (default: a)"):
        assert line in text
    assert "instead of epochs (default" not in text  # None is no default to speak of
    assert "--inner" not in text
    words = ["--rate", "0.3", "--name", "b", "--layers", "1,2", "--wide", "true", "--updates", "9", "--limit", "2"]
    words += ["--workers", "2"]
    told = of_settings.from_flags(parser.parse_args(words), Settings())
    assert told == Settings(0.3, "b", (1, 2), True, 9, 2.0, 2)
    assert of_settings.from_flags(parser.parse_args([]), Settings(rate=0.2)) == Settings(rate=0.2)
    assert of_settings.from_flags(parser.parse_args(["--wide", "false"]), Settings(wide=True)) == Settings()
    for words in (["--wide", "yes"], ["--name", "c"], ["--updates", "many"], ["--limit", "long"]):
        with pytest.raises((argparse.ArgumentError, argparse.ArgumentTypeError)):
            parser.parse_args(words)


def test_settings_are_plain_data_and_back_and_launching_decides_nothing():
    own = Settings(rate=1, inner=Inner(3, (1, 2)), loss={"intra": 0.03})
    plain = of_settings.to_json(own)
    assert plain["inner"] == {"radius": 3, "sides": [1, 2]}
    assert of_settings.from_json(Settings, plain) == own
    assert of_settings.deciding(own) == {name: value for name, value in plain.items() if name != "workers"}


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"rate": True}, "rate is True: give float"),
        ({"rate": "1"}, "rate is '1': give float"),
        ({"updates": 1.5}, "updates is 1.5: give int or None"),
        ({"limit": "long"}, "limit is 'long': give"),
        ({"layers": [1]}, "layers is \\[1\\]: give"),
        ({"wide": 1}, "wide is 1: give bool"),
        ({"name": "c"}, "--name is 'c': choose one of a, b"),
        ({"side": 1}, "there is no setting side: choose from rate, name, .*, inner, loss"),
    ],
)
def test_a_change_of_another_type_is_named(changes, line):
    with pytest.raises(InputError, match=line):
        of_settings.change(Settings(), changes)


def test_a_whole_number_is_a_rate_and_none_is_no_number_of_updates():
    assert of_settings.change(Settings(updates=3), {"rate": 1, "updates": None, "limit": 3}) == Settings(1, limit=3)
    assert of_settings.change(own := Settings(), {}) is own


def test_what_a_run_was_told_and_its_protocol_is_not():
    task = task_named("davis")
    usual = of_settings.to_json(task.settings("mini"))

    def told(**changes):
        return departures(result("davis", {}, scale="mini", task="davis", settings={**usual, **changes}))

    assert told() == ()
    protocol = {**usual["protocol"], "radius": 99}
    assert told(protocol=protocol) == ("protocol.radius 99",)
    for name in usual:  # a field that is younger than the record says nothing, and hides no other
        older = {other: value for other, value in {**usual, "protocol": protocol}.items() if other != name}
        found = departures(result("davis", {}, scale="mini", task="davis", settings=older))
        assert found == (() if name == "protocol" else ("protocol.radius 99",)), name
    *others, last = usual
    for name in others:  # nor one that comes after it
        older = {other: value for other, value in {**usual, last: "another"}.items() if other != name}
        assert departures(result("davis", {}, scale="mini", task="davis", settings=older)) == (f"{last} another",)
    assert departures(result("davis", {}, scale="mini", task="davis", settings={})) == ()
    assert departures(result("davis", {}, scale="mini", task="nobody's", settings={"frames": 3})) == ()
    coco = task_named("coco-mask-rcnn")
    usual = {**of_settings.to_json(coco.settings("paper")), "engine": "detectron2", "updates": 40, "per_device": 2}
    found = departures(result("coco", {}, scale="paper", task="coco-mask-rcnn", settings=usual))
    assert found == ("updates 40",)  # who computes it is free, how it is cut up is launching


@pytest.mark.parametrize(
    ("own", "row", "same"),
    [
        ("ImageNet-1k", "IN-1k", True),
        ("ILSVRC2012-1k", "IN1k", True),
        ("ImageNet-22k", "IN-21k", True),
        ("ImageNet-22k", "IN-1k", False),
        ("Instagram-1B", "IN-1k", False),
        ("LVD-142M", "lvd142m", True),
        ("IN-1k", "", True),
    ],
)
def test_spellings_of_a_data_set_are_one(own, row, same):
    assert Attribution("DINO", None, own, "file").is_of("DINO", None, row) == same


def test_nobody_is_held_against_a_row_by_resemblance():
    file, user = (Attribution("DINO", source=source) for source in ("file", "user"))
    assert not Attribution().is_of("DINO", None, "")
    assert file.is_of("dino", None, "")
    assert not file.is_of("DINO", 300, "")
    assert user.is_of("DINO", 300, "IN-1k")
    assert not dataclasses.replace(user, epochs=100).is_of("DINO", 300, "")
    assert not dataclasses.replace(file, epochs=300, data="shapes").is_of("DINO", 300, "IN-1k")
    assert dataclasses.replace(file, epochs=300, data="ImageNet-1k").is_of("DINO", 300, "IN-1k")
    assert not dataclasses.replace(file, epochs=300, data="ImageNet-21k").is_of("DINO", 300, "IN-1k")
    assert Attribution.of_card(load_model(POSITIVE_CONTROL).card) == Attribution()


def test_another_method_or_none_is_never_a_rows():
    for source in ("file", "user"):
        assert not Attribution("MAE", 300, "IN-1k", source).is_of("DINO", 300, "IN-1k")
        assert not Attribution("", 300, "IN-1k", source).is_of("", 300, "IN-1k")


@pytest.mark.parametrize("who", ["file", "table", "layout", "inferred", ""])
def test_a_card_attributes_where_file_or_list_say_so(who):
    card = SimpleNamespace(method="DINO", epochs=300, data="IN-1k", provenance={"method": who} if who else {})
    known = Attribution("DINO", 300, "IN-1k", who)
    assert Attribution.of_card(card) == (known if who in ("file", "table") else Attribution())


def test_the_users_word_needs_a_method():
    assert Attribution.said(None, None, None) is None
    assert Attribution.said("MAE", 1, None) == Attribution("MAE", 1, "", "user")
    for facts in (("MAE", 0, None), (None, 3, None), (None, None, "IN-1k")):
        with pytest.raises(InputError):
            Attribution.said(*facts)
    assert Attribution.of({}) == Attribution()
    assert Attribution.of(Attribution("MAE", 3).to_dict()) == Attribution("MAE", 3)


def test_a_file_is_called_as_seen_from_its_data_set():
    name = namer(Path("/data/coco"))
    assert name("/data/coco/val/1.jpg") == "val/1.jpg"
    assert name("/data/coco2/val/1.jpg") == "1.jpg"
    assert name("val/1.jpg") == "1.jpg"
    assert namer(Path())("val/1.jpg") == "val/1.jpg"
    assert namer(Path())("/val/1.jpg") == "1.jpg"


def test_what_was_read_is_kept_until_the_file_is_another(tmp_path, monkeypatch):
    monkeypatch.setenv("FLSL_CACHE", str(tmp_path / "cache"))
    file, read = tmp_path / "a.json", []
    file.write_text("12345")

    def about(path):
        read.append(path)
        return path.read_text()

    def kept(kind="words"):
        facts = KeptFacts(tmp_path, kind)
        value = facts.of(file, about)
        facts.save()
        return value

    assert [kept(), kept(), len(read)] == ["12345", "12345", 1]
    (written,) = (tmp_path / "cache" / "words").iterdir()
    before = written.stat()
    kept()
    assert written.stat() == before  # what is not new is not written again
    os.utime(file, ns=(1, 1))
    assert (kept(), len(read)) == ("12345", 2)
    stamp = file.stat()
    file.write_text("1234")
    os.utime(file, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert (kept(), len(read)) == ("1234", 3)  # the size alone
    file.rename(tmp_path / "old.json")
    file.write_text("4321")
    os.utime(file, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert (kept(), len(read)) == ("4321", 4)  # another file of the same size and date
    assert (kept("numbers"), len(read)) == ("4321", 5)
    for text in ("{", "[]", '{"' + str(file) + '": [1]}'):
        next((tmp_path / "cache" / "words").iterdir()).write_text(text)
        assert kept() == "4321"
    assert len(read) == 8
    (unwritable,) = (tmp_path / "cache" / "words").iterdir()
    unwritable.unlink()
    unwritable.mkdir()
    assert kept() == "4321"  # a place that cannot be written costs time alone


def test_of_many_files_those_that_changed_are_read_and_the_refused_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("FLSL_CACHE", str(tmp_path / "cache"))
    files = [tmp_path / name for name in ("b", "a", "bad", "c")]
    for file in files:
        file.write_text(file.name)
    read, problems = [], []

    def about(path):
        read.append(path.name)
        if path.name == "bad":
            raise InputError("bad is broken")
        return path.read_text()

    def all_of():
        facts = KeptFacts(tmp_path, "words")
        found = facts.of_all(files, about, problems, "files")
        facts.save()
        return [(path.name, value) for path, value in found.items()]

    assert all_of() == [("b", "b"), ("a", "a"), ("c", "c")]
    (written,) = (tmp_path / "cache" / "words").iterdir()
    assert (sorted(read), problems) == (["a", "b", "bad", "c"], ["bad is broken"])
    files[1].write_text("other")
    read.clear()
    assert all_of() == [("b", "b"), ("a", "other"), ("c", "c")]
    assert sorted(read) == ["a", "bad"]  # what was refused is asked again
    assert problems == ["bad is broken"] * 2
    del files[2]
    before = written.stat()
    assert len(all_of()) == 3
    assert written.stat().st_ino == before.st_ino  # nothing new, nothing written
    facts = KeptFacts(tmp_path, "words")
    assert [facts.of(files[0], lambda path: len(read), given) for given in ("x", "y", "x")] == [2, 2, 2]
    assert facts.of(files[0], lambda path: "not asked", "y") == 2
    assert facts.of(files[0], about) == "b"  # what it depends on beside the file is a place of its own


def test_where_what_can_be_computed_again_is_kept(monkeypatch):
    monkeypatch.setenv("FLSL_CACHE", "/a")
    monkeypatch.setenv("XDG_CACHE_HOME", "/b")
    assert cache_folder() == Path("/a")
    monkeypatch.delenv("FLSL_CACHE")
    assert cache_folder() == Path("/b/flsl-benchmarks")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "flsl-benchmarks"


def test_a_fingerprint_by_hand(tmp_path, monkeypatch):
    import hashlib

    monkeypatch.setenv("FLSL_CACHE", str(tmp_path / "cache"))
    root = tmp_path / "set"
    root.mkdir()
    for name, content in (("b.json", "{}"), ("a.json", "[]"), ("2.jpg", "12"), ("1.jpg", "123")):
        (root / name).write_text(content)
    found = fingerprint(root, [root / "b.json", root / "a.json"], [root / "2.jpg", str(root / "1.jpg")], ["said"])
    marks = "said\n" + "".join(f"{n}.json {hashlib.sha256(t).hexdigest()}\n" for n, t in (("a", b"[]"), ("b", b"{}")))
    expected = [hashlib.sha256(text.encode()).hexdigest() for text in (marks, "1.jpg 3\n2.jpg 2\n")]
    assert found == Fingerprint("set", 5, *expected)
    assert found.identity == {"files": 5, "annotations_sha256": expected[0], "images_sha256": expected[1]}
    assert dataclasses.replace(found, name="other").identity == found.identity


def test_processes_that_share_a_job_and_scales():
    assert Launch().devices == Launch("none", 4, 2).devices == 1
    assert Launch("torchrun", 4, 2).devices == 8
    assert [scale_or_error(scale) for scale in ("paper", "mini")] == ["paper", "mini"]
    task = task_named("davis")
    shown = task.headline({"J&F-Mean": 0.625})
    assert next(iter(shown.values())) == 62.5
    assert task_named("knn").headline({"top1": {"20": 50.0}}) != task_named("knn").headline({"top1": 50.0})
