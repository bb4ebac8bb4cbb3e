"""Curves over the snapshots of a real pretraining run on the miniature world."""

import json
import math

import numpy as np
import pytest
from in_process import run_tool

from benchmarks import learning_curves, shapes
from benchmarks.controls import write_random_control
from benchmarks.core.result import read_results
from pretrain.config import load_config
from pretrain.trainer import Trainer


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Two epochs of two steps, with the data root that they and the benchmarks use."""
    folder = tmp_path_factory.mktemp("curves")
    shapes.write_imagenet(folder, train_per_class=4, val_per_class=1)
    shapes.write_davis(folder, 0, 1, frames=3, height=96, width=160)
    values = ["run.epochs=2", "run.batch=16", "run.log_every=1", "run.tensorboard=false", "run.picture_epochs=0"]
    values += ["data.workers=0", f"data.root={folder}/imagenet/train", f"run.out={folder}/run", "run.export=none"]
    Trainer(load_config("pretrain/configs/shapes.yaml", values)).run()
    write_random_control(folder / "random.safetensors", 0)
    return folder


def tool(run, out, *more):
    curves = ("--run", f"small={run}/run", "--control", f"random={run}/random.safetensors")
    return run_tool("learning_curves.py", *curves, "--data-root", run, "--out", out, *more)


@pytest.fixture(scope="module")
def curves(run, tmp_path_factory):
    out = tmp_path_factory.mktemp("judged")
    done = tool(run, out)
    assert done.returncode == 0, done.stderr
    return out


def test_every_snapshot_is_judged_once(run, curves):
    arrays = np.load(curves / "curves.npz")
    steps = list(learning_curves.snapshots(run / "run"))
    assert list(arrays["small/snapshot"]) == steps
    assert steps[0] == 0
    assert len(arrays["small/inter"]) == steps[-1]
    for key in learning_curves.JUDGED:
        assert np.all((arrays[f"small/{key}"] >= 0) & (arrays[f"small/{key}"] <= 100))
    rows = (curves / "curves.md").read_text().splitlines()
    assert len(rows) == 2 + 1 + len(steps)
    assert (curves / "curves.png").stat().st_size > 10_000
    before = {result.job: result.started for result in read_results(curves / "records")}
    assert len(before) == 2 * (1 + len(steps))
    assert tool(run, curves, "--every", 2).returncode == 0
    assert {result.job: result.started for result in read_results(curves / "records")} == before


def test_scores_are_those_of_the_commands(run, curves, tmp_path):
    args = ("--checkpoint", run / "run/checkpoint.pth", "--json", tmp_path / "knn.json")
    assert run_tool("evaluate_knn.py", *args, "--imagenet-root", run).returncode == 0
    top1 = json.loads((tmp_path / "knn.json").read_text())["top1"]["20"]
    arrays = np.load(curves / "curves.npz")
    assert math.isclose(arrays["small/top1"][-1], top1, abs_tol=1e-9)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (["--run", "other=nowhere"], "log of a pretraining run nowhere/log.jsonl does not exist"),
        (["--run", "other"], "--run other is not NAME=PATH"),
        (["--every", "0"], "every 0th snapshot: give 1 or more"),
    ],
)
def test_wrong_input_is_one_line(run, tmp_path, change, line):
    done = tool(run, tmp_path, *change)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {line}")
    assert done.stderr.count("\n") == 1
