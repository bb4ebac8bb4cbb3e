"""Real runs of pretraining: resume, signals, snapshots, loader workers, processes, what they leave behind."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoint_files import RESNET, random_tensors
from PIL import Image

from benchmarks.backbones import load_backbone
from benchmarks.checkpoints.canonical import write_canonical
from benchmarks.checkpoints.card import SIZE_RESIZE, Card
from benchmarks.errors import InputError
from pretrain.__main__ import main
from pretrain.config import load_config
from pretrain.failure import Stopped, TrainingFailed
from pretrain.finite import LEFT_OUT, Finite
from pretrain.objective import Losses
from pretrain.snapshot import SnapshotFolder
from pretrain.sweep import commands
from pretrain.sweep import main as sweep_main
from pretrain.trainer import Trainer

TESTS = Path(__file__).parent
CONFIG = """
model: {embed_dim: 32, depth: 2, num_heads: 2, patch_size: 8, image_size: 48, drop_path: 0.1, clusters: 16,
        head_hidden_dim: 32, head_bottleneck_dim: 16}
views: {local_size: 24, local_views: 2}
data: {workers: 0, max_broken: 0.2}
run: {batch: 4, precision: fp32, device: cpu, log_every: 1, tensorboard: false, picture_epochs: 0, export: none}
"""


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Eight images in three modes, in an ImageFolder tree: two steps an epoch."""
    root, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for index in range(8):
        folder = root / f"class{index % 2}"
        folder.mkdir(exist_ok=True)
        picture = Image.fromarray(rng.integers(0, 255, (60 + index, 80, 3), dtype=np.uint8))
        picture.convert(("RGB", "L", "CMYK", "RGB")[index % 4]).save(folder / f"{index}.jpg")
    return root


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    path = tmp_path_factory.mktemp("config") / "config.yaml"
    path.write_text(CONFIG)
    return path


def trainer(config, images, out, *overrides):
    return Trainer(load_config(config, [f"data.root={images}", f"run.out={out}", *overrides]))


def command(config, images, out, *overrides, processes=1):
    launcher = [sys.executable]
    if processes > 1:
        launcher += ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    return [*launcher, "-m", "pretrain", str(config), f"data.root={images}", f"run.out={out}", *overrides]


# As many threads as this process has: bit-exactness holds for the same number of them.
ENVIRONMENT = {
    **os.environ,
    "OMP_NUM_THREADS": str(torch.get_num_threads()),
    "MKL_NUM_THREADS": str(torch.get_num_threads()),
    "OMP_WAIT_POLICY": "passive",
}


def weights(out):
    return torch.load(Path(out) / "checkpoint.pth", weights_only=True)


def log(out):
    return [json.loads(line) for line in (Path(out) / "log.jsonl").read_text().splitlines()]


def assert_same_run(one, other):
    """Weights and log, bit for bit."""
    for branch in ("student", "teacher"):
        for name, value in weights(one)[branch].items():
            assert torch.equal(value, weights(other)[branch][name]), f"{branch}.{name}"
    assert (one / "log.jsonl").read_bytes() == (other / "log.jsonl").read_bytes()


@pytest.fixture(scope="module")
def whole(config, images, tmp_path_factory):
    """A run of three epochs that nothing disturbed."""
    out = tmp_path_factory.mktemp("whole")
    trainer(config, images, out, "run.epochs=3", "run.keep=2").run()
    return out


def after_step(run, step, action):
    """Have ``action`` done when ``run`` has made ``step`` steps."""
    original = run._train_step

    def counted(*arguments):
        result = original(*arguments)
        if run.step == step:
            action()
        return result

    run._train_step = counted


# -- resume


def test_a_run_stopped_by_sigterm_ends_as_if_it_had_not_been(whole, config, images, tmp_path):
    run = trainer(config, images, tmp_path, "run.epochs=3")
    after_step(run, 3, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(Stopped, match="stopped at step 3 of 6") as stopped:
        run.run()
    assert stopped.value.code == 143
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert weights(tmp_path)["step"] == 3
    trainer(config, images, tmp_path, "run.epochs=3", "data.workers=1").run()
    assert_same_run(whole, tmp_path)


def test_a_run_killed_by_sigkill_ends_as_if_it_had_not_been(whole, config, images, tmp_path):
    """The short version of ``tests/performance/pretrain_kills.py``."""
    arguments = command(config, images, tmp_path, "run.epochs=3", "run.snapshot_steps=1")
    process = subprocess.Popen(arguments, env=ENVIRONMENT, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    while not (tmp_path / "log.jsonl").exists() and process.poll() is None:
        time.sleep(0.002)
    process.kill()
    process.wait()
    with open(tmp_path / "log.jsonl", "a") as stream:
        stream.write('{"step": 99, "tot')  # what a kill in the middle of a line leaves
    (tmp_path / "snapshots" / ".step-00000009.x.pth").write_bytes(b"half")  # and one in the middle of a save
    trainer(config, images, tmp_path, "run.epochs=3").run()
    assert_same_run(whole, tmp_path)
    assert not list((tmp_path / "snapshots").glob(".*"))


def test_sigterm_to_the_whole_group_lets_the_step_end(whole, config, images, tmp_path):
    """As a batch system stops a job: loader workers get the signal as well."""
    arguments = command(config, images, tmp_path, "run.epochs=3", "data.workers=1", "run.snapshot_minutes=9")
    process = subprocess.Popen(arguments, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True, start_new_session=True)
    while not (tmp_path / "log.jsonl").exists() and process.poll() is None:
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGTERM)
    errors = process.communicate()[1]
    assert process.returncode == 143, errors
    assert "the same command goes on from there" in errors
    trainer(config, images, tmp_path, "run.epochs=3").run()
    assert_same_run(whole, tmp_path)


def test_sigusr1_writes_a_snapshot_and_goes_on(whole, config, images, tmp_path):
    run = trainer(config, images, tmp_path, "run.epochs=3", "run.keep=99")
    after_step(run, 3, lambda: os.kill(os.getpid(), signal.SIGUSR1))
    run.run()
    assert [p.name for p in sorted((tmp_path / "snapshots").iterdir())] == [
        f"step-0000000{step}.pth" for step in (0, 2, 3, 4, 6)
    ]
    assert_same_run(whole, tmp_path)


def test_the_last_snapshots_are_kept_and_a_damaged_one_is_passed_over(whole, config, images, tmp_path, capsys):
    run = trainer(config, images, tmp_path, "run.epochs=3", "run.keep=2", "run.snapshot_steps=1")
    after_step(run, 5, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(Stopped):
        run.run()
    kept = sorted((tmp_path / "snapshots").iterdir())
    assert [p.name for p in kept] == ["step-00000004.pth", "step-00000005.pth"]
    kept[1].write_bytes(kept[1].read_bytes()[:2000])
    assert trainer(config, images, tmp_path, "run.epochs=3").step == 4
    assert "step-00000005.pth cannot be resumed from" in capsys.readouterr().err


def test_what_matters_may_not_differ_on_resume(whole, config, images, tmp_path):
    for override, words in (
        ("model.depth=3", "model.depth=2, now 3"),
        ("optim.lr=0.1", "optim.lr"),
        ("run.epochs=4", "run.epochs"),
        ("run.batch=2", "4 images a step, now it would be 2"),
    ):
        with pytest.raises(InputError, match=words):
            trainer(config, images, whole, "run.epochs=3", override)
    other = tmp_path / "other"
    other.mkdir()
    for index in range(8):
        Image.new("RGB", (60, 60)).save(other / f"{index}.png")
    with pytest.raises(InputError, match="other images"):
        trainer(config, other, whole, "run.epochs=3")
    assert trainer(config, images, whole, "run.epochs=3", "run.batch=2", "run.accumulate=2").step == 6


def test_two_runs_do_not_share_a_folder(config, images, tmp_path):
    tmp_path.joinpath("out").mkdir()
    held = tmp_path / "out" / ".lock"
    script = f"import fcntl, time; f = open({str(held)!r}, 'w'); fcntl.lockf(f, fcntl.LOCK_EX); print(1, flush=True)"
    with subprocess.Popen([sys.executable, "-c", script + "; time.sleep(60)"], stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        with pytest.raises(InputError, match="another run is training"):
            trainer(config, images, tmp_path / "out")
        other.kill()


# -- disks that are full or read-only


def test_a_full_disk_leaves_the_last_snapshot_and_says_so(config, images, tmp_path):
    run = trainer(config, images, tmp_path, "run.epochs=3", "run.snapshot_steps=1")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    after_step(run, 3, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1])))
    try:
        with pytest.raises(TrainingFailed, match=r"step 3: .*could not be written.*step-00000002.pth is intact"):
            run.run()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list((tmp_path / "snapshots").glob(".*"))
    assert trainer(config, images, tmp_path, "run.epochs=3").step == 2


def test_a_folder_that_cannot_be_written_is_found_out_before_training(config, images, tmp_path):
    (tmp_path / "file").write_text("")
    for out in ("/proc/flsl", tmp_path / "file" / "out"):
        with pytest.raises(InputError, match="cannot be written"):
            trainer(config, images, out)


def test_too_little_room_is_found_out_before_training(tmp_path):
    with pytest.raises(InputError, match="GiB free, but two snapshots need"):
        SnapshotFolder(tmp_path, 3).prepare(size=2**60)


# -- equality of splits


def test_the_number_of_workers_changes_nothing(whole, config, images, tmp_path):
    trainer(config, images, tmp_path, "run.epochs=3", "data.workers=2").run()
    assert_same_run(whole, tmp_path)


def test_accumulated_parts_are_one_large_batch(whole, config, images, tmp_path):
    trainer(config, images, tmp_path, "run.epochs=3", "run.batch=1", "run.accumulate=4").run()
    for one, other in zip(log(whole), log(tmp_path), strict=True):
        for name in ("total", "intra", "inter", "volume"):
            assert other[name] == pytest.approx(one[name], rel=1e-6, abs=1e-6)


def test_two_processes_are_one_with_the_double_batch(config, images, tmp_path):
    """Gradients of every variant of the objective to 1e-5, drop path included."""
    values = [f"data.root={images}", "run.epochs=1"]
    script = str(TESTS / "pretrain_in_processes.py")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    two = [*torchrun, script, str(config), str(tmp_path / "two"), *values, "run.batch=4"]
    done = subprocess.run(two, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    one = [sys.executable, script, str(config), str(tmp_path / "one"), *values, "run.batch=8"]
    subprocess.run(one, env=ENVIRONMENT, check=True)
    one, two = (torch.load(tmp_path / name, weights_only=True) for name in ("one", "two"))
    for variant in one:
        torch.testing.assert_close(two[variant]["losses"], one[variant]["losses"], rtol=1e-6, atol=1e-6, msg=variant)
        torch.testing.assert_close(two[variant]["assignment"], one[variant]["assignment"], msg=variant)
        for name, gradient in one[variant]["gradients"].items():
            difference = (two[variant]["gradients"][name] - gradient).abs().max()
            # The key part of a qkv bias has no gradient in theory: what is there is rounding.
            assert difference <= 1e-5 * gradient.abs().max() + 1e-7, (variant, name)


def test_two_processes_train_and_one_goes_on(config, images, tmp_path):
    values = ("run.epochs=3", "optim.lr=0.01")
    done = subprocess.run(
        command(config, images, tmp_path / "two", *values, "run.batch=2", processes=2),
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    trainer(config, images, tmp_path / "one", *values).run()
    for one, two in zip(log(tmp_path / "one")[:5], log(tmp_path / "two")[:5], strict=True):
        for name in ("total", "intra", "inter", "volume"):
            assert two[name] == pytest.approx(one[name], rel=1e-6, abs=1e-6)
    lr = max(entry["lr"] for entry in log(tmp_path / "one"))
    for branch in ("student", "teacher"):
        for name, value in weights(tmp_path / "one")[branch].items():
            difference = (weights(tmp_path / "two")[branch][name] - value).abs()
            if name.endswith("attn.qkv.bias"):
                # The keys' part has no gradient in theory: Adam makes steps of full length out of rounding noise.
                third = len(value) // 3
                assert difference[third : 2 * third].max() <= 2 * 6 * lr
                difference[third : 2 * third] = 0.0
            assert difference.max() <= 1e-5, (branch, name)
    assert trainer(config, images, tmp_path / "two", *values, "run.batch=4").step == 6


# -- sight


def test_the_log_tells_what_happens(whole):
    entries = log(whole)
    assert [entry["step"] for entry in entries] == list(range(1, 7))
    for entry in entries:
        assert 1 <= entry["perplexity"] <= 16
        assert -1 <= entry["separability"] <= 1
        assert entry["gradient_norm"] > 0
        terms = entry["intra_coefficient"] * entry["intra"] + entry["inter"] + 5.0 * entry["volume"]
        assert entry["total"] == pytest.approx(terms, rel=1e-5)
    timing = [json.loads(line) for line in (whole / "timing.jsonl").read_text().splitlines()]
    assert all(line["images_per_second"] > 0 for line in timing)


def test_training_lowers_the_loss(config, images, tmp_path):
    values = ("run.epochs=30", "optim.warmup_fraction=0", "optim.lr=0.05", "run.snapshot_minutes=9", "run.keep=1")
    trainer(config, images, tmp_path, *values).run()
    totals = [entry["total"] for entry in log(tmp_path)]
    assert np.mean(totals[-10:]) < np.mean(totals[:10])


def test_pictures_tensorboard_and_canonical_checkpoints(config, images, tmp_path):
    pytest.importorskip("tensorboard", reason="needs the tensorboard package")
    values = ("run.epochs=1", "run.tensorboard=true", "run.picture_epochs=1", "run.export=both", "run.precision=bf16")
    run = trainer(config, images, tmp_path, *values)
    run.run()
    with Image.open(tmp_path / "pictures" / "epoch-0001.png") as picture:
        assert np.asarray(picture.convert("RGB")).std() > 10
    assert any((tmp_path / "tensorboard").iterdir())
    for branch, network in (("teacher", run.work.teacher), ("student", run.work.student)):
        module, card = load_backbone(tmp_path / f"{branch}.safetensors")
        assert (card.method, card.branch, card.architecture.num_heads) == ("FLSL", branch, 2)
        pixels = torch.randn(1, 3, 48, 48)
        torch.testing.assert_close(module.patch_tokens(pixels), network.encode(pixels))


def test_broken_images_are_skipped_counted_and_end_the_run_above_the_threshold(config, images, tmp_path, capsys):
    for path in images.rglob("*.jpg"):
        (tmp_path / "images").mkdir(exist_ok=True)
        (tmp_path / "images" / path.name).write_bytes(path.read_bytes())
    victim = tmp_path / "images" / "0.jpg"
    victim.write_bytes(victim.read_bytes()[:200])
    trainer(config, tmp_path / "images", tmp_path / "a", "run.epochs=2").run()
    assert list(weights(tmp_path / "a")["broken"]) == [str(victim)]
    assert [entry["broken"] for entry in log(tmp_path / "a") if "broken" in entry] == [[str(victim)]]
    assert f"left out, cannot be decoded: {victim} is not a whole image (" in capsys.readouterr().err
    run = trainer(config, tmp_path / "images", tmp_path / "b", "run.epochs=2", "data.max_broken=0.01")
    with pytest.raises(
        InputError, match=rf"1 of 8 images cannot be decoded, more than .* allows; the last: {victim} is not"
    ):
        run.run()


def test_a_loss_that_is_no_number_stops_before_it_reaches_the_weights(config, images, tmp_path):
    run = trainer(config, images, tmp_path, "run.epochs=3")
    after_step(run, 3, lambda: run.work.student.head.mlp[0].bias.data.fill_(float("nan")))
    with pytest.raises(TrainingFailed, match=r"step 3: the loss is nan .* last good snapshot is .*step-00000002.pth"):
        run.run()
    stored = torch.load(tmp_path / "nonfinite-step-00000003-rank0.pth", weights_only=True)
    assert stored["step"] == 3
    assert stored["batches"][0]["teacher"].shape == (4, 3, 48, 48)
    assert all(value.isfinite().all() for value in stored["teacher"].values())
    assert weights(tmp_path)["step"] == 2


def test_gradients_that_stay_infinite_end_an_fp16_run():
    nothing = Losses(*torch.zeros(4))
    watch = Finite(scaled=True)
    found = [watch.refuses(nothing, 1.0, float("inf")) for _ in range(LEFT_OUT)]
    assert found[:-1] == [None] * (LEFT_OUT - 1)
    assert f"the gradient's norm inf, for the {LEFT_OUT}th time in a row" in found[-1]
    assert watch.refuses(nothing, 1.0, 2.0) is None
    assert watch.refuses(nothing, 1.0, float("nan")) is None  # counted anew
    assert "the loss is nan" in watch.refuses(nothing, float("nan"), 1.0)
    assert Finite(scaled=False).refuses(nothing, 1.0, float("inf")) is not None


def test_views_that_are_made_ahead_are_the_same(whole, config, images, tmp_path):
    run = trainer(config, images, tmp_path, "run.epochs=3")
    for step in range(1, 7):
        after_step(run, step, lambda: run._next.prepare())
    run.run()
    assert_same_run(whole, tmp_path)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_trains_and_resumes(precision, config, images, tmp_path):
    values = (f"run.precision={precision}", "run.epochs=2")
    trainer(config, images, tmp_path / "whole", *values).run()
    run = trainer(config, images, tmp_path / "cut", *values)
    after_step(run, 1, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(Stopped):
        run.run()
    trainer(config, images, tmp_path / "cut", *values).run()
    assert_same_run(tmp_path / "whole", tmp_path / "cut")
    assert log(tmp_path / "whole")[-1]["total"] > 0


# -- options


def test_a_second_stage_looks_where_the_first_one_looked(whole, config, images, tmp_path):
    values = ("run.epochs=1", "previous.blocks=1", "previous.share_end=0.5")
    run = trainer(config, images, tmp_path / "staged", *values, f"previous.checkpoint={whole / 'checkpoint.pth'}")
    assert len(run.work.previous.encoder.blocks) == 1
    assert run.schedule.own_share[0] == 0.0
    run.run()
    trainer(config, images, tmp_path / "alone", *values).run()
    assert log(tmp_path / "staged")[0]["inter"] != log(tmp_path / "alone")[0]["inter"]
    assert log(tmp_path / "staged")[0]["intra"] == log(tmp_path / "alone")[0]["intra"]
    for override, words in (("previous.blocks=3", "has 2 blocks"), ("model.patch_size=4", "has patch size 8")):
        with pytest.raises(InputError, match=words):
            trainer(
                config, images, tmp_path / "b", *values, f"previous.checkpoint={whole / 'checkpoint.pth'}", override
            )


def test_a_network_that_is_no_vit_is_no_earlier_stage(config, images, tmp_path):
    write_canonical(tmp_path / "r.safetensors", random_tensors(RESNET), Card("test", RESNET, SIZE_RESIZE))
    with pytest.raises(InputError, match=r"r\.safetensors is a resnet network: a previous stage is a ViT of the house"):
        trainer(config, images, tmp_path / "b", f"previous.checkpoint={tmp_path / 'r.safetensors'}")


def test_a_given_prior_takes_the_place_of_the_uniform_one(config, images, tmp_path):
    prior = tmp_path / "prior.txt"
    prior.write_text("\n".join(["0.5", *["0.0333333333"] * 15]))
    run = trainer(config, images, tmp_path / "out", f"objective.prior={prior}")
    assert run.work.objective.prior.exp()[0, 0].item() == pytest.approx(0.5)
    prior.write_text("0.5\n0.5")
    with pytest.raises(InputError, match="holds 2 numbers"):
        trainer(config, images, tmp_path / "b", f"objective.prior={prior}")


def test_the_official_layout_holds_what_the_published_readers_look_for(config, images, tmp_path, monkeypatch):
    values = [f"data.root={images}", f"run.out={tmp_path}", "run.epochs=1"]
    monkeypatch.setattr(sys, "argv", ["pretrain", str(config), *values, "--layout", "official"])
    assert main() == 0
    official = torch.load(tmp_path / "official.pth", weights_only=False)  # a file this test has made itself
    ours = weights(tmp_path)
    assert official["args"].arch == "custom"
    assert official["epoch"] == 1
    # Its k-NN strips two prefixes from the teacher; its detector looks into state_dict for the bare names.
    stripped = {k.replace("module.", "").replace("backbone.", ""): v for k, v in official["teacher"].items()}
    for name, tensor in official["state_dict"].items():
        assert torch.equal(tensor, ours["teacher"][f"backbone.{name}"])
        assert torch.equal(tensor, stripped[name])
    assert stripped["cls_token"].shape == (1, 1, 32)
    assert {name.removeprefix("module.") for name in official["student"]} == {*ours["student"], "backbone.cls_token"}


# -- input that cannot be used


def bad_inputs():
    yield "missing folder", lambda c, i: (c, i / "nothing", []), "does not exist"
    yield "unknown key", lambda c, i: (c, i, ["run.epoch=3"]), "did you mean 'epochs'"
    yield "key of another section", lambda c, i: (c, i, ["run.lr=3"]), "did you mean optim.lr"
    yield "unknown section", lambda c, i: (c, i, ["modle.depth=3"]), "did you mean 'model'"
    yield "wrong type", lambda c, i: (c, i, ["run.epochs=many"]), "run.epochs must be a whole number"
    yield "not a number", lambda c, i: (c, i, ["optim.lr=.nan"]), "optim.lr must be a finite number"
    yield "out of range", lambda c, i: (c, i, ["objective.student_temp=0"]), "objective.student_temp is 0.0"
    yield "unknown choice", lambda c, i: (c, i, ["run.precision=fp8"]), "must be one of bf16, fp16, fp32"
    yield "two balancers", lambda c, i: (c, i, ["objective.sinkhorn=true", "objective.centering=true"]), "choose one"
    yield "batch too large", lambda c, i: (c, i, ["run.batch=99"]), "lower run.batch"
    yield "missing config", lambda c, i: (c.with_name("none.yaml"), i, []), "does not exist"
    yield "odd size", lambda c, i: (c, i, ["model.image_size=50"]), "no multiple of the patch size"
    yield "odd heads", lambda c, i: (c, i, ["model.num_heads=3"]), "no multiple of num_heads"
    if not torch.cuda.is_available():
        yield "no GPU", lambda c, i: (c, i, ["run.device=cuda"]), "torch sees no GPU"


@pytest.mark.parametrize(("make", "words"), [x[1:] for x in bad_inputs()], ids=[x[0] for x in bad_inputs()])
def test_unusable_input_is_refused(config, images, tmp_path, make, words):
    path, root, overrides = make(config, images)
    with pytest.raises(InputError) as refused:
        trainer(path, root, tmp_path / "out", *overrides)
    assert words in str(refused.value)
    assert not (tmp_path / "out").exists()


def test_the_command_says_it_in_one_line(config, images, tmp_path):
    arguments = command(config, images, tmp_path / "out", "run.batch=99")
    done = subprocess.run(arguments, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.strip().splitlines()) == 1


# -- sweeps and recipes


def test_every_recipe_is_a_valid_config():
    recipes = sorted((TESTS.parent / "pretrain" / "configs").glob("*.yaml"))
    assert len(recipes) >= 5
    runs = {"sweep_photos": 26, "sweep_tables_5_6": 11, "sweep_terms": 10}
    for recipe in recipes:
        if recipe.stem.startswith("sweep_"):
            assert len(commands(recipe, [], processes=8)) == runs[recipe.stem]
        else:
            load_config(recipe)


def test_a_sweep_trains_each_of_its_runs(config, images, tmp_path, monkeypatch, capfd):
    sweep = config.with_name("sweep.yaml")
    sweep.write_text(
        "base: config.yaml\ncommon: {run.epochs: 1}\n"
        "runs:\n  plain:\n  even: {objective.sinkhorn: true, objective.volume: 1.0}\n"
    )
    found = commands(sweep, [f"data.root={images}", f"run.out={tmp_path}"], processes=1)
    assert found["even"][-1] == f"run.out={tmp_path / 'even'}"
    assert "objective.sinkhorn=true" in found["even"]
    arguments = ["sweep", str(sweep), f"data.root={images}", f"run.out={tmp_path}", "--only", "even"]
    monkeypatch.setattr(sys, "argv", arguments)
    assert sweep_main() == 0
    assert weights(tmp_path / "even")["args"]["config"]["objective"]["sinkhorn"]
    assert not (tmp_path / "plain").exists()
    monkeypatch.setattr(sys, "argv", [*arguments[:-1], "odd"])
    with pytest.raises(InputError, match="there are plain, even"):
        sweep_main()
    with pytest.raises(InputError, match="is no sweep"):
        commands(config, [], processes=1)
