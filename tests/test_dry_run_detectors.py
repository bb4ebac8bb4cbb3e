"""What a dry run of the detectors says: the protocol that ``--frozen`` takes, and the memory that is predicted."""

import re

import pytest
from in_process import run_suite, run_tool

from benchmarks import shapes
from benchmarks.controls import write_random_control

pytest.importorskip("mmcv.ops", reason="needs mmcv with its operators")


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    folder = tmp_path_factory.mktemp("coco")
    shapes.write_coco(folder, train_images=6, val_images=3, size=64, seed=0)
    write_random_control(folder / "c.safetensors", seed=0)
    return [f"c={folder / 'c.safetensors'}", "--data-root", folder, "--out", folder / "out", "--scale", "mini"]


def memory(done):
    assert done.returncode == 0, done.stderr
    return re.findall(
        r"memory: about ([0-9.]+) GiB a device, predicted for (\d+ x \d+ x \d+ pixels in \w+)", done.stdout
    )


@pytest.mark.parametrize(("number", "task"), [(1, "coco-mask-rcnn"), (2, "coco-vitdet")])
def test_frozen_takes_the_tables_frozen_protocol(words, number, task):
    done = run_tool(f"table{number}.py", "--checkpoint", *words, "--frozen", "--dry-run", "--per-device", 2)
    ((size, what),) = memory(done)
    assert what == "2 x 160 x 160 pixels in fp32"
    assert float(size) < 1
    assert f"c-{task}-frozen-" not in done.stdout  # folders are not named before a run
    assert "--frozen" in next(line for line in done.stdout.splitlines() if "--job" in line)
    named = run_suite("run", *words, "--tasks", f"{task}-frozen", "--dry-run")
    flagged = run_suite("run", *words, "--tasks", task, "--frozen", "--dry-run")
    hashes = [set(re.findall(r"^job (\w+):", one.stdout, re.M)) for one in (done, named, flagged)]
    assert hashes[0] == hashes[1] == hashes[2] != set()


def test_where_there_is_no_frozen_protocol_one_line_says_so(words):
    for done in (run_suite("run", *words, "--tasks", "coco-vitdet,uavdt", "--frozen", "--dry-run"),
                 run_tool("table3.py", "--checkpoint", *words, "--frozen", "--dry-run")):  # fmt: skip
        assert done.returncode == 2
        assert (
            done.stderr.strip()
            .splitlines()[-1]
            .endswith(
                "--frozen: uavdt has no protocol for a frozen network; those of coco-mask-rcnn, coco-vitdet have names"
            )
        )


def test_what_cannot_be_measured_says_why(tmp_path, monkeypatch):
    from benchmarks.core.forecast import memory_lines

    monkeypatch.setenv("FLSL_CACHE", str(tmp_path / "cache"))
    (tmp_path / "c.safetensors").write_bytes(b"1")
    asked = []

    def measure():
        asked.append(1)
        if len(asked) == 1:
            raise RuntimeError("no such\noperator")
        return "memory: about 1 GiB"

    first = memory_lines(tmp_path / "c.safetensors", {"a": 1}, measure)
    assert first == ["memory: not predicted (RuntimeError: no such operator)"]
    # It is asked again after a failure, and never where it is known.
    assert [memory_lines(tmp_path / "c.safetensors", {"a": 1}, measure) for _ in "12"] == [["memory: about 1 GiB"]] * 2
    assert len(asked) == 2
    memory_lines(tmp_path / "c.safetensors", {"a": 2}, measure)
    assert len(asked) == 3


def test_the_largest_batch_stands_and_lies():
    from benchmarks.coco.run import CONFIGS
    from benchmarks.engines.memory import largest
    from benchmarks.engines.mmdet import read_config

    fpn, vitdet = (read_config(CONFIGS / f"{name}.py") for name in
                   ("mask_rcnn_vit_s16_fpn_1x_coco", "mask_rcnn_vitdet_b16_100ep_coco"))  # fmt: skip
    assert [largest(fpn, images) for images in (1, 2)] == [(800, 1344), (1344, 1344)]
    assert [largest(vitdet, images) for images in (1, 2)] == [(1024, 1024)] * 2
