"""The device script, tiny, on a CPU: every part runs, and its file is what docs/device/README.md says."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "tests" / "performance" / "device.py"
sys.path.append(str(SCRIPT.parent))

from device_parts import flsl  # noqa: E402
from device_parts.book import Part, Size, is_done, measure, open_book  # noqa: E402
from device_parts.flops import PEAK_TFLOPS, peak_of, step_flops  # noqa: E402
from pretrain_step import OurStep, PlainStep, make_batch  # noqa: E402

from benchmarks.errors import InputError  # noqa: E402

UNITS = ["s", "ms", "gib", "px", "count", "images", "points", "percent", "fraction", "ratio", "gflop", "tflops"]


def start(out):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(SCRIPT), "--tiny", "--out", str(out)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=ROOT)


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    out = tmp_path_factory.mktemp("device") / "tiny.json"
    done = start(out)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(out.read_text())


def documented():
    """Heading -> the fields of its table; of each part, where a heading names several."""
    found, parts = {}, ["file"]
    for line in (ROOT / "docs/device/README.md").read_text().splitlines():
        if line.startswith("### "):
            parts = line[4:].split(", ")
        elif line.startswith("| `"):
            for part in parts:
                found.setdefault(part, set()).update(re.findall(r"`(\w+)`", line.split("|")[1]))
    return found


def test_every_part_runs_and_its_fields_are_the_documents(book):
    wanted = documented()
    assert set(book) == wanted.pop("file")
    every = wanted.pop("every part")
    assert set(book["parts"]) == set(wanted)
    for name, part in book["parts"].items():
        assert set(part) == every, name
        assert (part["status"], part["error"]) == ("done", None), name
        assert part["rows"], name
        for row in part["rows"]:
            assert set(row) == wanted[name], name


def test_every_number_has_its_unit_in_its_name(book):
    for part in book["parts"].values():
        for row in [{k: v for k, v in part.items() if k != "rows"}, *part["rows"]]:
            for name, value in row.items():
                number = isinstance(value, (int, float)) and not isinstance(value, bool)
                assert not number or name.rpartition("_")[2] in UNITS, name


def test_what_a_cpu_can_say_is_right(book):
    (resumed,) = book["parts"]["resume"]["rows"]
    assert resumed["same_to_the_bit"]
    assert resumed["killed_after_count"] >= 2
    (two,) = book["parts"]["two_processes"]["rows"]
    assert two["backend"] == "gloo"
    assert two["largest_difference_of_a_loss_ratio"] < 1e-5
    assert {row["status"] for tier in ("instant", "inference") for row in book["parts"][tier]["rows"]} == {"ok"}
    assert max(row["largest_difference_of_a_label_fraction"] for row in book["parts"]["davis_frames"]["rows"]) < 1e-4


def size(tmp_path):
    return Size(True, tmp_path)


def test_a_second_start_goes_on_and_a_part_that_fails_is_tried_again(tmp_path):
    path = tmp_path / "book.json"

    def breaks(size):
        yield {"first": "kept"}
        raise ValueError("no such\nthing")

    def dies(size):
        yield {"first": "kept"}
        os._exit(7)

    def sleeps(size):
        yield {"first": "kept"}
        time.sleep(60)

    cases = {
        "breaks": (breaks, "failed", "ValueError: no such thing"),
        "dies": (dies, "failed", "the process ended with exit code 7 and said nothing"),
        "sleeps": (sleeps, "over budget", "stopped after 0.5 s"),
    }
    for name, (run, status, error) in cases.items():
        book = open_book(path, True)
        (tmp_path / name).mkdir()
        assert not measure(path, book, name, Part(run, 0.5 if name == "sleeps" else 30), size(tmp_path / name))
        kept = open_book(path, True)["parts"][name]
        assert (kept["status"], kept["error"], kept["rows"]) == (status, error, [{"first": "kept"}])
        assert not is_done(book, name)
    (tmp_path / "again").mkdir()
    assert measure(path, book, "breaks", Part(lambda size: iter([{"a": "b"}]), 30), size(tmp_path / "again"))
    book = open_book(path, True)
    assert is_done(book, "breaks")
    assert set(book["parts"]) == set(cases)
    with pytest.raises(InputError, match="was made with --tiny: choose another --out"):
        open_book(path, False)
    path.write_text("[1]")
    with pytest.raises(InputError, match="is no file of device measurements"):
        open_book(path, True)


def test_the_arithmetic_of_a_step_is_what_the_published_one_multiplies():
    batch = make_batch(flsl.TINY, 2)
    published = PlainStep(flsl.TINY, OurStep(flsl.TINY, "fp32", False).work.student)
    with FlopCounterMode(display=False) as counter:
        published(batch)
    assert step_flops(flsl.TINY, 2) == counter.get_total_flops()


def test_the_rebuilt_step_is_ours_in_fp16_too():
    # Drop path draws differ: without it the two are one.
    import dataclasses

    config = dataclasses.replace(flsl.TINY, model=dataclasses.replace(flsl.TINY.model, drop_path=0.0))
    batch = make_batch(config, 2)
    ours = OurStep(config, "fp32", False)
    published = PlainStep(config, ours.work.student, "fp16")
    assert published(batch) == pytest.approx(ours(batch), rel=2e-3)
    assert all(torch.isfinite(p).all() for p in published.student.parameters())


def test_the_rate_of_a_gpu_is_its_own():
    assert peak_of("cuda:0 NVIDIA H100 PCIe", None) == 756.0
    assert peak_of("cuda:0 NVIDIA H100 80GB HBM3", None) == 989.4
    assert peak_of("cuda:0 NVIDIA L40S", None) == PEAK_TFLOPS["L40S"]
    assert peak_of("cuda:0 NVIDIA A100-SXM4-80GB", None) == PEAK_TFLOPS["A100"]
    assert peak_of("cpu", None) is None
    assert peak_of("somebody's", 12.0) == 12.0
