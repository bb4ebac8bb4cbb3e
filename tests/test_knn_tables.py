"""Tables 5 and 6: settings, pretraining and scoring of one of them, and what the tables say."""

import dataclasses
import subprocess

import pytest

from benchmarks import shapes
from benchmarks.errors import InputError
from benchmarks.knn.ablation import Plan, check, describe, judge, open_data
from benchmarks.records import read_records
from benchmarks.tables import ablation, table5, table6


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    root = tmp_path_factory.mktemp("world")
    shapes.write_world(root, "tiny", sets=("imagenet",))
    return root


def test_a_setting_is_pretrained_scored_and_not_done_twice(world, tmp_path, monkeypatch):
    setting = table6.TABLE.mini[0]
    plan = Plan("mini", open_data(world, "mini"), tmp_path, epochs=1)
    assert judge(plan, [setting], [0], {}, None) == 0
    monkeypatch.setattr("benchmarks.knn.ablation.subprocess", None)  # nothing is pretrained again
    assert judge(plan, [setting], [0], {}, None) == 0
    (record,) = read_records(tmp_path / "records")
    assert (record["name"], record["run"]["setting"], record["seed"]) == ("K64", "K64", 0)
    assert record["run"]["overrides"] == ["model.clusters=64"]
    assert len(list((tmp_path / "pictures" / "K64-seed0").glob("*.png"))) == 8
    given = {"K128": str(tmp_path / "K64-seed0" / "checkpoint.safetensors")}
    assert judge(plan, [table6.TABLE.mini[1]], [3], given, None) == 0
    rows = ablation.text(table6.TABLE, read_records(tmp_path / "records"), "mini").splitlines()
    assert sum("mini: no reproduction" in row for row in rows) == 2
    assert sum("not run" in row for row in rows) == 3


def test_a_pretraining_that_fails_ends_the_run(world, tmp_path, monkeypatch):
    monkeypatch.setattr("subprocess.run", lambda command, check: subprocess.CompletedProcess(command, 3))
    plan = Plan("mini", open_data(world, "mini"), tmp_path)
    assert judge(plan, table6.TABLE.mini, [0], {}, None) == 3
    assert not (tmp_path / "records").exists()


def test_the_commands_of_the_papers_runs(tmp_path):
    plan = Plan("paper", tmp_path, tmp_path / "out", "torchrun", 8, "cuda")
    text = describe(plan, table5.TABLE.settings, [0, 1], {"plain-v0.03-gamma5": "x.pth"})
    assert text.count("-m torch.distributed.run --standalone --nproc_per_node=8 -m pretrain") == 12
    assert text.count("run.epochs=100") == text.count("run.batch=64") == 12
    assert "objective.intra=0.0 objective.inter=1.0 objective.volume=1.0 objective.sinkhorn=true" in text
    assert text.count(": x.pth") == 2
    assert [s.overrides for s in table6.TABLE.settings][2] == ("model.clusters=4096",)


@pytest.mark.parametrize(
    ("changes", "given", "message"),
    [
        ({}, {"K99": "x"}, "K99=... is no setting of Table 6"),
        ({"gpus": 4}, {}, "4 GPUs with launcher none"),
        ({"gpus": 3, "launcher": "torchrun", "device": "cuda"}, {}, "does not divide over 3"),
        ({}, {}, "needs a GPU"),
    ],
)
def test_plans_that_cannot_be_carried_out(tmp_path, changes, given, message):
    plan = dataclasses.replace(Plan("paper", tmp_path, tmp_path), **changes)
    with pytest.raises(InputError, match=message):
        check(plan, table6.TABLE, given)


def test_scale_paper_wants_all_classes(world):
    with pytest.raises(InputError, match="8 classes instead of 1000"):
        open_data(world, "paper")


def fake(setting, seed, top1, scale="paper"):
    return {
        "benchmark": "knn",
        "scale": scale,
        "seed": seed,
        "run": {"setting": setting},
        "metrics": {"top1": {"20": top1}},
    }


def test_verdicts():
    records = [
        fake("K1024", 0, 60.0),
        fake("K1024", 0, 68.14),  # the newer run of a seed counts
        fake("K2048", 0, 72.0),
        fake("K2048", 1, 72.9),
        fake("K4096", 0, 71.0),
        fake("K8192", 0, 72.5, "mini"),
    ]
    rows = {row.split()[0]: row for row in ablation.text(table6.TABLE, records, "paper").splitlines()}
    assert rows["K1024"].endswith("reproduced")
    assert "72.45" in rows["K2048"]
    assert rows["K2048"].endswith("2      within noise")
    assert rows["K4096"].endswith("differs")
    assert rows["K8192"].endswith("not run")
