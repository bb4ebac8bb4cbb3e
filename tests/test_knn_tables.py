"""Tables 5 and 6: settings, pretraining and scoring of one of them, and what the tables say."""

import pytest
from in_process import run_tool
from results import result
from tables_in_process import job_names, run_table

from benchmarks import shapes
from benchmarks.core.result import read_results
from benchmarks.core.task import Launch, Place
from benchmarks.errors import InputError
from benchmarks.knn.pretraining import Pretraining, resolved
from benchmarks.knn.task import PretrainedKnn, PretrainedSettings
from benchmarks.tables import table5, table6
from benchmarks.tables.paper import lines
from benchmarks.tables.render import render, sheet


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    root = tmp_path_factory.mktemp("world")
    shapes.write_world(root, "tiny", sets=("imagenet",))
    return root


def test_a_setting_is_pretrained_scored_and_not_done_twice(world, tmp_path, monkeypatch):
    words = ["--data-root", world, "--out", tmp_path, "--scale", "mini", "--device", "cpu"]
    own = [*words, "--epochs", 1, "--settings", "K64"]
    done = run_table("table6.py", *own)
    assert done.returncode == 0, done.stderr
    monkeypatch.setattr("benchmarks.knn.pretraining.subprocess", None)  # nothing is pretrained again
    assert run_tool("table6.py", *own).returncode == 0
    (record,) = read_results(tmp_path / "records")
    assert (record.name, record.seed) == ("K64", 0)
    assert record.run["overrides"] == ["model.clusters=64"]
    assert record.run["pretraining"]["model"]["clusters"] == 64
    assert record.interval["over"] == "images"
    low, high = record.interval["values"]["top1/20"]
    assert low <= record.metrics["top1"]["20"] <= high
    assert len(list((tmp_path / record.artefacts / "pictures").glob("*.png"))) == 8
    given = f"K128={tmp_path / record.artefacts / 'checkpoint.safetensors'}"
    done = run_table("table6.py", *words, "--settings", "K128", "--seeds", 3, "--checkpoint", given)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("mini: no reproduction") == 2
    assert done.stdout.count("not run") == len(table6.TABLE.rows)
    # The other table has nothing of it.
    assert not [line for line in lines(table5.TABLE, read_results(tmp_path / "records")) if line.runs]


def test_a_pretraining_that_fails_fails_its_job(world, tmp_path, monkeypatch):
    words = ["--data-root", world, "--out", tmp_path, "--scale", "mini", "--settings", "K64"]
    (job,) = job_names("table6.py", *words)
    monkeypatch.setattr("benchmarks.knn.pretraining._run", lambda command, lock: 3)
    with pytest.raises(RuntimeError, match=r"pretraining ended with exit code 3: .*-m pretrain .*model.clusters=64"):
        run_tool("table6.py", *words, "--job", job)
    assert not (tmp_path / "records").exists()


def test_the_papers_runs(tmp_path):
    shapes.write_world(tmp_path, "tiny", sets=("imagenet",))
    tmp_path /= "imagenet"
    for wnid in range(1000 - len(list((tmp_path / "train").iterdir()))):
        (tmp_path / "train" / str(wnid)).mkdir(parents=True)
    words = ["--data-root", tmp_path, "--out", tmp_path / "out", "--launcher", "torchrun", "--gpus", 8]
    done = run_tool("table5.py", *words, "--seeds", 0, 1, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "14 jobs, 0 done, 14 to do" in done.stdout
    assert "100 epochs a setting" in done.stdout
    assert done.stdout.count("224 GPU-hours") == 14
    assert table5.ABLATION.settings[0].overrides == (
        "objective.intra=0.0", "objective.inter=1.0", "objective.volume=1.0", "objective.sinkhorn=true",
    )  # fmt: skip
    assert [s.overrides for s in table6.ABLATION.settings][2] == ("model.clusters=4096",)


def test_a_pretraining_on_eight_gpus(tmp_path):
    own = Pretraining("vit_small_16", 100, table5.ABLATION.settings[-1].overrides, 512)
    place = Place(tmp_path / "x", launch=Launch("torchrun", 8), seed=2)
    text = " ".join(own.command(tmp_path / "train", place)[1:])
    assert text.startswith("-m torch.distributed.run --standalone --nproc_per_node=8 -m pretrain ")
    assert text.endswith("objective.intra=0.03 objective.inter=1.0 objective.volume=5.0 run.batch=64")
    assert "run.seed=2 run.epochs=100" in text
    with pytest.raises(InputError, match="does not divide over 3"):
        PretrainedKnn().plan(None, None, PretrainedSettings(own), "paper", Launch("torchrun", 3))


def test_one_configuration_is_one_job_however_its_setting_is_called():
    """Table 5's best line and Table 6's K = 4096 are the same 224 GPU-hours."""
    names = {s.name: s for a in (table5.ABLATION, table6.ABLATION) for s in a.settings}
    shared = [
        resolved(Pretraining("vit_small_16", 100, names[n].overrides, 512)) for n in ("plain-v0.03-gamma5", "K4096")
    ]
    assert shared[0] == shared[1]
    others = {str(resolved(Pretraining("vit_small_16", 100, s.overrides, 512))) for s in names.values()}
    assert len(others) == len(names) - 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--checkpoint", "K99={control}"], "K99 is no setting of Table 6 at scale mini"),
        (["--settings", "K5"], "K5 is no setting"),
        (["--nodes", "2", "--launcher", "slurm"], "one machine's: leave --nodes out"),
        (["--scale", "paper"], "8 classes instead of 1000"),
    ],
)
def test_plans_that_cannot_be_carried_out(world, tmp_path, words, message):
    from benchmarks.controls import POSITIVE_CONTROL

    words = [word.format(control=POSITIVE_CONTROL) for word in words]
    done = run_tool("table6.py", "--data-root", world, "--out", tmp_path / "out", "--scale", "mini", *words)
    assert done.returncode == 2
    assert message in done.stderr
    assert not (tmp_path / "out").exists()


def fake(setting, seed, top1, scale="paper"):
    return result("knn", {"top1": {"20": top1}}, name=setting, seed=seed, scale=scale, run={"setting": setting})


def test_verdicts():
    records = [
        fake("K1024", 0, 60.0),
        fake("K1024", 0, 68.14),  # the newer run of a seed counts
        fake("K2048", 0, 72.0),
        fake("K2048", 1, 72.9),
        fake("K4096", 0, 71.0),
        fake("K8192", 0, 72.5, "mini"),
    ]
    found = {(line.label, line.scale): line for line in lines(table6.TABLE, records)}
    assert found["K1024", "paper"].verdict == "reproduced"
    assert found["K2048", "paper"].verdict == "within noise"
    assert found["K2048", "paper"].runs == 2
    assert "72.45 ± 0.64" in render(sheet(table6.TABLE, records), "text")
    assert found["K4096", "paper"].verdict == "differs"
    assert found["K8192", "paper"].verdict == "not run"
    assert found["K8192", "mini"].verdict == "mini: no reproduction"
