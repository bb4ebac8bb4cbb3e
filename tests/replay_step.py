"""Replay a recorded training step of the published code: ``python tests/replay_step.py IN.npz HYPER.json OUT.npz``.

The input names and the meaning of the hyperparameters are those of the recording: weights of both
networks, views, query masks; the output holds losses, gradients before clipping, and both networks
after one step. Optional in the input: ``center`` (teacher centring that has run before) and ``previous.*`` with
``cropN`` (multi-stage training, whose settings are ``previous`` in the hyperparameters).
"""

from __future__ import annotations

import json
import sys

import numpy as np
import torch

from benchmarks.backbones.positions import sincos_mae
from benchmarks.checkpoints.card import DINO_RESIZE, Architecture, Card
from pretrain.config import ModelConfig
from pretrain.data import Batch
from pretrain.networks import Network
from pretrain.objective import Objective
from pretrain.previous_stage import PreviousStage
from pretrain.step import Step, StepValues

UNUSED = "backbone.cls_token"  # saved by the published code, used by nothing


def weights_of(arrays: dict[str, np.ndarray], which: str) -> dict[str, torch.Tensor]:
    prefix = which + "."
    state = {n[len(prefix) :]: torch.from_numpy(a.copy()) for n, a in arrays.items() if n.startswith(prefix)}
    state.pop(UNUSED, None)
    return state


def queries_of(mask: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.stack([np.flatnonzero(row) for row in mask]))


def model_of(hyper: dict, arrays: dict[str, np.ndarray]) -> ModelConfig:
    """What the recorded network is: sizes from the hyperparameters, the rest from its tensors."""
    student = weights_of(arrays, "student")
    table = student["backbone.pos_embed"]
    fixed = hyper["embed_dim"] % 4 == 0 and torch.allclose(
        table, sincos_mae(hyper["embed_dim"], round(table.shape[1] ** 0.5)), atol=1e-6
    )
    # A trained norm of the centroids cannot be told from a fixed one while it is 1: the recording has to say so.
    unit = bool((student["head.last_layer.weight_g"] == 1).all())
    return ModelConfig(
        embed_dim=hyper["embed_dim"],
        depth=hyper["depth"],
        num_heads=hyper["num_heads"],
        patch_size=hyper["patch_size"],
        image_size=hyper["global_size"],
        final_norm="modes" if "norm.weight" in student else "tokens" if "backbone.norm.weight" in student else "none",
        fixed_positions=fixed,
        clusters=hyper["out_dim"],
        head_hidden_dim=hyper["head_hidden_dim"],
        head_bottleneck_dim=hyper["head_bottleneck_dim"],
        unit_centroids=hyper.get("norm_last_layer", unit and "grad.head.last_layer.weight_g" not in arrays),
    )


def previous_of(arrays: dict[str, np.ndarray], hyper: dict) -> PreviousStage | None:
    if "previous" not in hyper:
        return None
    tensors, facts = weights_of(arrays, "previous"), hyper["previous"]
    architecture = Architecture(
        embed_dim=hyper["embed_dim"],
        depth=hyper["depth"],
        num_heads=hyper["num_heads"],
        patch_size=hyper["patch_size"],
        image_size=hyper["global_size"],
        class_token=True,
        position_prefix_rows=1,
    )
    card = Card(method="previous stage", architecture=architecture, resize=DINO_RESIZE)
    return PreviousStage(tensors, card, facts["blocks"], facts["ca_temp"], facts["sharpness"])


def batch_of(arrays: dict[str, np.ndarray]) -> Batch:
    """Views of one size together, teacher's view apart."""
    count = sum(name.startswith("view") for name in arrays)
    groups: dict[int, list[int]] = {}
    for i in range(1, count):
        groups.setdefault(arrays[f"view{i}"].shape[-1], []).append(i)

    def stacks(name: str) -> list[torch.Tensor]:
        return [torch.from_numpy(np.concatenate([arrays[f"{name}{i}"] for i in g])) for g in groups.values()]

    return Batch(
        teacher=torch.from_numpy(arrays["view0"]),
        views=stacks("view"),
        queries=[torch.cat([queries_of(arrays[f"queries{i}"]) for i in g]) for g in groups.values()],
        plain=[torch.from_numpy(arrays["crop0"]), *stacks("crop")] if "crop0" in arrays else [],
    )


def replay(arrays: dict[str, np.ndarray], hyper: dict) -> dict[str, np.ndarray]:
    """Run the recorded step and return every output under its recorded name."""
    model = model_of(hyper, arrays)
    student, teacher = Network(model), Network(model).requires_grad_(False)
    student.load_state_dict(weights_of(arrays, "student"), strict=True)
    teacher.load_state_dict(weights_of(arrays, "teacher"), strict=True)
    objective = Objective(
        hyper["out_dim"],
        hyper["student_temp"],
        volume_term=hyper["volume_maximization"],
        centering=hyper["teacher_centering"],
    )
    if hyper["teacher_centering"] and "center" in arrays:
        objective.center.copy_(torch.from_numpy(arrays["center"]))
    values = StepValues(
        lr=hyper["lr"],
        weight_decay=hyper["weight_decay"],
        momentum_teacher=hyper["ema_momentum"],
        teacher_temp=hyper["teacher_temp"],
        sa_temperature=hyper["sa_temp"],
        ca_temperature=hyper["ca_temp"],
        coefficients=tuple(hyper["coefficients"]),
        clip=hyper["clip_grad_per_parameter"] or 0.0,
        last_layer_frozen=hyper["epoch"] < hyper["freeze_last_layer_epochs"],
        own_share=hyper["previous"]["own_share"] if "previous" in hyper else 1.0,
    )
    step = Step(student, teacher, objective, previous=previous_of(arrays, hyper))
    losses, statistics = step.backward([batch_of(arrays)], values, weights=[1.0])
    out = {
        "loss": losses.total,
        "loss_intra": losses.intra,
        "loss_inter": losses.inter,
        "loss_volume": losses.volume,
        **{f"grad.{name}": p.grad.clone() for name, p in student.named_parameters() if p.grad is not None},
    }
    step.gradient_norm()
    step.update(values, statistics)
    for which, network in (("student_after", student), ("teacher_after", teacher)):
        out |= {f"{which}.{name}": value for name, value in network.state_dict().items()}
    if objective.center is not None:
        out["center_after"] = objective.center
    return {name: value.detach().numpy() for name, value in out.items()}


def main() -> None:
    source, hyper, target = sys.argv[1:]
    with np.load(source) as stored, open(hyper, encoding="utf-8") as stream:
        np.savez(target, **replay(dict(stored), json.load(stream)))


if __name__ == "__main__":
    main()
