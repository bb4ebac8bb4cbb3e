"""The instance-level control against the published DINO, and its runs.

``tests/data/dino_step.*`` was recorded by running facebookresearch/dino @ 7c446df on tiny ViTs (fp32, CPU, one
process): its ``DINOLoss``, head, clipping, frozen last layer, AdamW and moving average, with two global and two local
views.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_step import MODEL, VALUES, batch

from benchmarks.backbones import load_backbone
from benchmarks.errors import InputError
from pretrain.__main__ import main
from pretrain.config import ModelConfig, load_config
from pretrain.data import Batch
from pretrain.failure import Stopped
from pretrain.instance import InstanceNetwork, pair_views
from pretrain.networks import Clustered
from pretrain.objective import Objective
from pretrain.step import Step, StepValues
from pretrain.trainer import Trainer

DATA = Path(__file__).parent / "data"


@pytest.fixture(scope="module")
def recorded():
    with np.load(DATA / "dino_step.npz") as stored:
        return {name: torch.from_numpy(stored[name]) for name in stored}, json.loads(
            (DATA / "dino_step.json").read_text()
        )


def weights_of(arrays, which):
    return {n.removeprefix(f"{which}."): a.clone() for n, a in arrays.items() if n.startswith(f"{which}.")}


def replay(arrays, hyper):
    model = ModelConfig(
        embed_dim=hyper["embed_dim"],
        depth=hyper["depth"],
        num_heads=hyper["num_heads"],
        patch_size=hyper["patch_size"],
        image_size=hyper["global_size"],
        class_token=True,
        fixed_positions=False,
        clusters=hyper["out_dim"],
        head_hidden_dim=hyper["head_hidden_dim"],
        head_bottleneck_dim=hyper["head_bottleneck_dim"],
    )
    student, teacher = InstanceNetwork(model), InstanceNetwork(model).requires_grad_(False)
    student.load_state_dict(weights_of(arrays, "student"), strict=True)
    teacher.load_state_dict(weights_of(arrays, "teacher"), strict=True)
    objective = Objective(
        hyper["out_dim"],
        hyper["student_temp"],
        volume_term=False,
        centering=True,
        center_momentum=hyper["center_momentum"],
    )
    objective.center.copy_(arrays["center"])
    values = StepValues(
        lr=hyper["lr"],
        weight_decay=hyper["weight_decay"],
        momentum_teacher=hyper["ema_momentum"],
        teacher_temp=hyper["teacher_temp"],
        sa_temperature=0.1,
        ca_temperature=0.2,
        coefficients=(0.0, 1.0, 0.0),
        clip=hyper["clip"],
        last_layer_frozen=hyper["epoch"] < hyper["freeze_last_layer"],
        both_globals=True,
    )
    step = Step(student, teacher, objective)
    batch = Batch(
        teacher=arrays["view0"],
        views=[arrays["view1"], torch.cat([arrays["view2"], arrays["view3"]])],
        queries=[torch.zeros(3, 1, dtype=torch.long), torch.zeros(6, 1, dtype=torch.long)],
    )
    losses, statistics = step.backward([batch], values, [1.0])
    out = {"loss": losses.total.detach()}
    out |= {f"grad.{name}": p.grad.clone() for name, p in student.named_parameters() if p.grad is not None}
    step.update(values, statistics, step.gradient_norms())
    for which, network in (("student_after", student), ("teacher_after", teacher)):
        out |= {f"{which}.{name}": value for name, value in network.state_dict().items()}
    return out | {"center_after": objective.center}


def test_one_step_is_the_published_one(recorded):
    arrays, hyper = recorded
    found = replay(arrays, hyper)
    assert found["loss"].item() == pytest.approx(arrays["loss"].item(), rel=1e-5)
    gradients = {name for name in arrays if name.startswith("grad.")}
    assert gradients == {name for name in found if name.startswith("grad.")}
    for name in gradients | {"center_after"}:
        assert (found[name] - arrays[name]).abs().max() <= 1e-5 * arrays[name].abs().max() + 1e-8, name
    for which in ("student_after", "teacher_after"):
        for name, expected in weights_of(arrays, which).items():
            # Adam's first step has the length lr whatever the gradient's size: where that is rounding noise, so is
            # its direction.
            gradient = arrays.get(f"grad.{name}", torch.full_like(expected, torch.inf)).abs()
            noise = (gradient < 1e-4 * gradient.max()) | (gradient < 1e-6)
            difference = (found[f"{which}.{name}"] - expected).abs()
            allowed = torch.where(noise, torch.tensor(2 * hyper["lr"]), 1e-5 * expected.abs().max() + 1e-8)
            assert (difference <= allowed).all(), f"{which}.{name}"


@pytest.mark.parametrize("key", ["teacher_temp", "student_temp"])
def test_a_wrong_option_is_seen(recorded, key):
    arrays, hyper = recorded
    assert replay(arrays, hyper | {key: 1.1 * hyper[key]})["loss"].item() != pytest.approx(arrays["loss"].item(), 1e-4)


def test_a_forgotten_centre_is_seen(recorded):
    arrays, hyper = recorded
    off = replay(arrays | {"center": torch.zeros_like(arrays["center"])}, hyper)
    assert off["loss"].item() != pytest.approx(arrays["loss"].item(), 1e-4)


@pytest.mark.parametrize("teachers", [1, 2])
def test_the_loss_is_dinos_formula(teachers):
    """Written out over views: one teacher view that the student does not see, and the published two that it does."""
    images, views, clusters = 5, 4, 12
    g = torch.Generator().manual_seed(1)
    student = torch.randn(views * images, clusters, generator=g)
    teacher, center = torch.randn(teachers * images, clusters, generator=g), torch.randn(1, clusters, generator=g)
    objective = Objective(clusters, 0.1, volume_term=False, centering=True)
    objective.center.copy_(center)
    vectors = torch.randn(views * images, 3, generator=g)
    found, targets = pair_views(Clustered(vectors, vectors, student, []), teacher, images, shared=teachers == 2)
    losses, statistics = objective(found.tokens, found.modes, found.logits, targets, 0.05, (0.0, 1.0, 0.0))
    terms = []
    for t, target in enumerate(teacher.chunk(teachers)):
        p = ((target - center) / 0.05).softmax(dim=1)
        for v, answer in enumerate(student.chunk(views)):
            if teachers == 1 or v != t:
                terms.append(-(p * (answer / 0.1).log_softmax(dim=1)).sum(dim=1).mean())
    assert losses.total.item() == pytest.approx(torch.stack(terms).mean().item(), rel=1e-5)
    objective.move_center(statistics)
    torch.testing.assert_close(objective.center, 0.9 * center + 0.1 * teacher.mean(dim=0, keepdim=True))


def test_the_controls_student_drops_paths_as_the_batch_was_drawn():
    torch.manual_seed(0)
    student, teacher = InstanceNetwork(MODEL, drop_path=0.5), InstanceNetwork(MODEL).requires_grad_(False)
    whole = batch(3)
    without = whole._replace(draws=[torch.ones_like(draws) for draws in whole.draws])  # nothing is dropped
    losses = [
        Step(student, teacher, Objective(MODEL.clusters, volume_term=False)).backward([each], VALUES, [1.0])[0].total
        for each in (whole, whole, without)
    ]
    assert torch.equal(losses[0], losses[1])
    assert not torch.isclose(losses[0], losses[2])


CONFIG = """
model: {embed_dim: 32, depth: 2, num_heads: 2, patch_size: 8, image_size: 48, drop_path: 0.1, clusters: 16,
        head_hidden_dim: 32, head_bottleneck_dim: 16}
views: {local_size: 24, local_views: 2}
objective: {kind: dino}
data: {workers: 0, max_broken: 0.2}
run: {epochs: 2, batch: 4, precision: fp32, device: cpu, log_every: 1, tensorboard: false, picture_epochs: 0}
"""
VARIANTS = {
    "mean": [],
    "class": ["model.class_token=true", "objective.both_globals=true", "model.fixed_positions=false"],
}


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    root, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for index in range(8):
        Image.fromarray(rng.integers(0, 255, (60, 80, 3), dtype=np.uint8)).save(root / f"{index}.png")
    return root


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
def test_a_run_resumes_to_the_bit_and_exports_its_network(options, images, tmp_path):
    (tmp_path / "config.yaml").write_text(CONFIG)

    def trainer(out):
        return Trainer(
            load_config(tmp_path / "config.yaml", [f"data.root={images}", f"run.out={tmp_path / out}", *options])
        )

    trainer("whole").run()
    broken = trainer("broken")
    original = broken._train_step

    def stopped(*arguments):
        if broken.step == 3:
            broken._save()
            raise Stopped("", 143)
        return original(*arguments)

    broken._train_step = stopped
    with pytest.raises(Stopped):
        broken.run()
    trainer("broken").run()
    one, other = (
        torch.load(tmp_path / out / "checkpoint.pth", weights_only=True, map_location="cpu")
        for out in ("whole", "broken")
    )
    for branch in ("student", "teacher", "dino_loss"):
        assert one[branch].keys() == other[branch].keys()
        assert all(torch.equal(value, other[branch][name]) for name, value in one[branch].items()), branch
    assert one["dino_loss"]["center"].abs().max() > 0
    module, card = load_backbone(tmp_path / "whole" / "teacher.safetensors")
    assert card.method == "DINO"
    assert card.architecture.class_token == bool(options)
    pixels = torch.randn(2, 3, 48, 48)
    teacher = trainer("whole").work.teacher
    torch.testing.assert_close(module.patch_tokens(pixels), teacher.encode(pixels))


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("objective.projected_epochs=1", "objective.projected_epochs is FLSL's"),
        ("objective.sinkhorn=true", "objective.sinkhorn is FLSL's"),
        ("objective.kind=dion", "must be one of flsl, dino"),
    ],
)
def test_what_the_control_does_not_know_is_refused(override, words, tmp_path):
    (tmp_path / "config.yaml").write_text(CONFIG)
    with pytest.raises(InputError, match=words):
        load_config(tmp_path / "config.yaml", [override])


def test_the_class_token_is_the_controls_alone(tmp_path):
    (tmp_path / "config.yaml").write_text(CONFIG)
    with pytest.raises(InputError, match="belong to objective"):
        load_config(tmp_path / "config.yaml", ["objective.kind=flsl", "model.class_token=true"])


def test_flsls_own_layout_is_not_written_for_the_control(images, tmp_path, monkeypatch):
    (tmp_path / "config.yaml").write_text(CONFIG)
    arguments = [str(tmp_path / "config.yaml"), "--layout", "official", f"data.root={images}"]
    monkeypatch.setattr("sys.argv", ["pretrain", *arguments, f"run.out={tmp_path / 'out'}"])
    with pytest.raises(InputError, match="--layout official"):
        main()
    assert not (tmp_path / "out").exists()
