"""Table 4: from checkpoints to records, pictures and the paper's rows."""

import pytest
from in_process import run_tool
from tables_in_process import run_table

from benchmarks import shapes
from benchmarks.controls import write_random_control
from benchmarks.core.command import named
from benchmarks.core.result import read_results
from benchmarks.davis.task import interval, open_videos
from benchmarks.errors import InputError
from benchmarks.tables.table4 import TABLE


def test_a_mini_run_leaves_records_and_pictures_and_is_no_reproduction(tmp_path):
    shapes.write_davis(tmp_path, 0, 1, frames=4, height=96, width=160)
    words = ["--data-root", tmp_path, "--out", tmp_path / "out", "--scale", "mini", "--device", "cpu"]
    for seed, name in enumerate("ab"):
        write_random_control(tmp_path / f"{name}.safetensors", seed)
        words += ["--checkpoint", f"{name}={tmp_path / name}.safetensors"]
    plan = run_tool("table4.py", *words, "--dry-run", "--seeds", 0, 1).stdout
    assert "1 sequences, 4 frames" in plan
    assert "2 jobs, 0 done, 2 to do" in plan  # no seed takes part
    done = run_table("table4.py", *words)
    assert done.returncode == 0, done.stderr
    records = sorted(read_results(tmp_path / "out" / "records"), key=lambda record: record.name)
    assert [(r.benchmark, r.scale, r.protocol, r.name) for r in records] == [
        ("davis", "mini", "davis2017-192p (mini)", name) for name in "ab"
    ]
    assert 0 < records[0].metrics["J&F-Mean"] < 1
    assert records[0].interval == interval(records[0].metrics)
    low, high = records[0].interval["values"]["J&F-Mean"]
    assert low < records[0].metrics["J&F-Mean"] < high
    assert done.stdout.count("not run") == len(TABLE.rows)
    assert done.stdout.count("mini: no reproduction") == 2
    assert list((tmp_path / "out/pictures").glob("a-davis-*/shapes-00.webp"))


def test_scale_paper_wants_the_whole_validation_set(tmp_path):
    shapes.write_davis(tmp_path, 0, 1, frames=5, height=96, width=160)
    with pytest.raises(InputError, match="1 validation sequences with 5 frames instead of 30 with 1999"):
        open_videos(tmp_path, "paper")


def test_names_of_checkpoints():
    assert named(["a=x.pth", "b-1.2=y=z.pth"]) == {"a": "x.pth", "b-1.2": "y=z.pth"}
    for wrong in (["a"], ["=x"], ["a/b=x"], ["a="], ["a=x", "a=y"]):
        with pytest.raises(InputError, match="--checkpoint"):
            named(wrong)


def test_where_the_papers_joint_figure_is_not_the_mean_is_said():
    for row in TABLE.rows:
        joint, j, f = row.values
        assert ("not the mean" in row.flag) == (abs(joint - (j + f) / 2) > 0.051), row
