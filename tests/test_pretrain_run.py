"""Real runs of ``python -m pretrain``: resume, loader workers, two processes, and input that cannot be used."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

CONFIG = """
model: {embed_dim: 32, depth: 2, num_heads: 2, patch_size: 8, image_size: 48, drop_path: 0.1, clusters: 16,
        head_hidden_dim: 32, head_bottleneck_dim: 16}
views: {local_size: 24, local_views: 2}
data: {workers: 0, max_broken: 0.2}
run: {batch: 4, precision: fp32, device: cpu, log_every: 1}
"""


@pytest.fixture
def images(tmp_path):
    """Eight images in four modes, in an ImageFolder tree."""
    rng = np.random.default_rng(0)
    for index in range(8):
        folder = tmp_path / "images" / f"class{index % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        picture = Image.fromarray(rng.integers(0, 255, (60 + index, 80, 3), dtype=np.uint8))
        mode = ("RGB", "L", "CMYK", "RGB")[index % 4]
        picture.convert(mode).save(folder / f"{index}.jpg")
    return tmp_path / "images"


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG)
    return path


def pretrain(config, images, out, *overrides, launcher=()):
    command = [*(launcher or [sys.executable]), "-m", "pretrain", str(config)]
    command += [f"data.root={images}", f"run.out={out}", *overrides]
    return subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False
    )


def weights(out):
    return torch.load(Path(out) / "checkpoint.pth", weights_only=True)


def assert_same_weights(one, other, tolerance=0.0):
    for branch in ("student", "teacher"):
        assert one[branch].keys() == other[branch].keys()
        for name, value in one[branch].items():
            assert (value - other[branch][name]).abs().max() <= tolerance, f"{branch}.{name}"


def test_a_stopped_run_goes_on_to_the_same_weights(config, images, tmp_path):
    assert pretrain(config, images, tmp_path / "whole", "run.epochs=3").returncode == 0
    # Saving after every step, then cutting the log and stepping back, is what a kill in the middle leaves.
    script = f"""
from pretrain.config import load_config
from pretrain.trainer import Trainer
config = load_config({str(config)!r}, ["data.root={images}", "run.out={tmp_path / "cut"}", "run.epochs=3"])
trainer = Trainer(config)
for step in range(3):
    trainer.batches.start(*divmod(step, trainer.schedule.steps_per_epoch))
    trainer._train_step(next(iter(trainer.loader)))
trainer._save()
"""
    subprocess.run([sys.executable, "-c", script], check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert weights(tmp_path / "cut")["step"] == 3
    resumed = pretrain(config, images, tmp_path / "cut", "run.epochs=3")
    assert resumed.returncode == 0, resumed.stderr
    assert weights(tmp_path / "cut")["step"] == 6
    assert_same_weights(weights(tmp_path / "whole"), weights(tmp_path / "cut"))


def test_the_number_of_workers_changes_nothing(config, images, tmp_path):
    for workers in (0, 2):
        assert (
            pretrain(config, images, tmp_path / str(workers), "run.epochs=1", f"data.workers={workers}").returncode == 0
        )
    assert_same_weights(weights(tmp_path / "0"), weights(tmp_path / "2"))


def test_the_volume_term_of_two_processes_is_that_of_the_double_batch(config, images, tmp_path):
    # Without drop path: its random numbers are drawn per process.
    common = ("run.epochs=1", "model.drop_path=0")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    two = pretrain(config, images, tmp_path / "two", *common, "run.batch=4", launcher=torchrun)
    assert two.returncode == 0, two.stderr
    one = pretrain(config, images, tmp_path / "one", *common, "run.batch=8")
    assert one.returncode == 0, one.stderr
    losses = [json.loads((tmp_path / n / "log.jsonl").read_text().splitlines()[0]) for n in ("one", "two")]
    # The volume term is a function of the mean over all processes, so it must agree as it stands.
    assert losses[0]["volume"] == pytest.approx(losses[1]["volume"], abs=1e-5)


def test_training_lowers_the_loss(config, images, tmp_path):
    done = pretrain(config, images, tmp_path / "out", "run.epochs=40", "optim.warmup_fraction=0", "optim.lr=0.05")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in (tmp_path / "out" / "log.jsonl").read_text().splitlines()]
    assert np.mean([e["total"] for e in lines[-10:]]) < np.mean([e["total"] for e in lines[:10]])


def bad_inputs():
    yield "missing folder", lambda c, i: (c, i / "nothing", []), "does not exist"
    yield "unknown key", lambda c, i: (c, i, ["run.epoch=3"]), "did you mean 'epochs'"
    yield "wrong type", lambda c, i: (c, i, ["run.epochs=many"]), "run.epochs must be int"
    yield "batch too large", lambda c, i: (c, i, ["run.batch=99"]), "lower run.batch"
    yield "missing config", lambda c, i: (c.with_name("none.yaml"), i, []), "does not exist"
    yield "odd size", lambda c, i: (c, i, ["model.image_size=50"]), "no multiple of the patch size"


@pytest.mark.parametrize(("make", "words"), [x[1:] for x in bad_inputs()], ids=[x[0] for x in bad_inputs()])
def test_unusable_input_is_one_line_and_exit_2(config, images, tmp_path, make, words):
    path, root, overrides = make(config, images)
    done = pretrain(path, root, tmp_path / "out", *overrides)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_broken_images_are_counted_and_end_the_run_above_the_threshold(config, images, tmp_path):
    victim = images / "class0" / "0.jpg"
    victim.write_bytes(victim.read_bytes()[:200])
    tolerated = pretrain(config, images, tmp_path / "a", "run.epochs=1")
    assert tolerated.returncode == 0, tolerated.stderr
    assert weights(tmp_path / "a")["broken"] == [str(victim)]
    refused = pretrain(config, images, tmp_path / "b", "run.epochs=1", "data.max_broken=0.01")
    assert refused.returncode == 2
    assert str(victim) in refused.stderr
    assert "Traceback" not in refused.stderr


def test_another_config_is_refused_on_resume(config, images, tmp_path):
    assert pretrain(config, images, tmp_path / "out", "run.epochs=1").returncode == 0
    done = pretrain(config, images, tmp_path / "out", "run.epochs=1", "optim.lr=0.1")
    assert done.returncode == 2
    assert "optim.lr" in done.stderr
