"""Replay a recorded training step of the published code: ``python tests/replay_step.py IN.npz HYPER.json OUT.npz``.

The input names and the meaning of the hyperparameters are those of the recording: weights of both
networks, views, query masks; the output holds losses, gradients before clipping, and both networks
after one step.
"""

from __future__ import annotations

import json
import sys

import numpy as np
import torch

from pretrain.config import ModelConfig
from pretrain.networks import Network
from pretrain.objective import Objective
from pretrain.step import StepValues, compute_losses, parameter_groups, update

UNUSED = "backbone.cls_token"  # saved by the published code, used by nothing


def load(network: Network, arrays: dict[str, np.ndarray], which: str) -> None:
    prefix = which + "."
    state = {n[len(prefix) :]: torch.from_numpy(a.copy()) for n, a in arrays.items() if n.startswith(prefix)}
    state.pop(UNUSED, None)
    network.load_state_dict(state, strict=True)


def queries_of(mask: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.stack([np.flatnonzero(row) for row in mask]))


def replay(arrays: dict[str, np.ndarray], hyper: dict) -> dict[str, np.ndarray]:
    """Run the recorded step and return every output under its recorded name."""
    has_norm = any(n.startswith("student.backbone.norm.") for n in arrays)
    model = ModelConfig(
        embed_dim=hyper["embed_dim"],
        depth=hyper["depth"],
        num_heads=hyper["num_heads"],
        patch_size=hyper["patch_size"],
        image_size=hyper["global_size"],
        final_norm="modes" if hyper["norm_on_modes"] else "tokens" if has_norm else "none",
        fixed_positions=not any(n.endswith("backbone.pos_embed") and n.startswith("grad.") for n in arrays),
        clusters=hyper["out_dim"],
        head_hidden_dim=hyper["head_hidden_dim"],
        head_bottleneck_dim=hyper["head_bottleneck_dim"],
        unit_centroids="grad.head.last_layer.weight_g" not in arrays,
    )
    student, teacher = Network(model), Network(model).requires_grad_(False)
    load(student, arrays, "student")
    load(teacher, arrays, "teacher")
    objective = Objective(
        hyper["out_dim"], hyper["student_temp"], hyper["volume_maximization"], hyper["teacher_centering"]
    )
    values = StepValues(
        lr=hyper["lr"],
        weight_decay=hyper["weight_decay"],
        momentum_teacher=hyper["ema_momentum"],
        teacher_temp=hyper["teacher_temp"],
        sa_temperature=hyper["sa_temp"],
        ca_temperature=hyper["ca_temp"],
        coefficients=tuple(hyper["coefficients"]),
        clip=hyper["clip_grad_per_parameter"],
        last_layer_frozen=hyper["epoch"] < hyper["freeze_last_layer_epochs"],
    )
    count = sum(name.startswith("view") for name in arrays)
    views = [torch.from_numpy(arrays[f"view{i}"]) for i in range(count)]
    groups: dict[int, list[int]] = {}
    for i in range(1, count):
        groups.setdefault(views[i].shape[-1], []).append(i)
    optimizer = torch.optim.AdamW(parameter_groups(student), lr=0.0)
    losses = compute_losses(
        student.train(),
        teacher.eval(),
        objective,
        views[0],
        [torch.cat([views[i] for i in group]) for group in groups.values()],
        [torch.cat([queries_of(arrays[f"queries{i}"]) for i in group]) for group in groups.values()],
        values,
    )
    losses.total.backward()
    out = {
        "loss": losses.total,
        "loss_intra": losses.intra,
        "loss_inter": losses.inter,
        "loss_volume": losses.volume,
        **{f"grad.{name}": p.grad.clone() for name, p in student.named_parameters() if p.grad is not None},
    }
    update(student, teacher, optimizer, values)
    for which, network in (("student_after", student), ("teacher_after", teacher)):
        out |= {f"{which}.{name}": value for name, value in network.state_dict().items()}
    return {name: value.detach().numpy() for name, value in out.items()}


def main() -> None:
    source, hyper, target = sys.argv[1:]
    with np.load(source) as stored, open(hyper, encoding="utf-8") as stream:
        np.savez(target, **replay(dict(stored), json.load(stream)))


if __name__ == "__main__":
    main()
