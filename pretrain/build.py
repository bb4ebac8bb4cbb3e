"""From a config to what a step needs: the two networks and the objective, of FLSL or of its control."""

from __future__ import annotations

import numpy as np
import torch

from benchmarks.errors import InputError
from benchmarks.files import require_file
from pretrain.config import Config
from pretrain.instance import InstanceNetwork
from pretrain.networks import Network, choose_attention
from pretrain.objective import Objective


def make_networks(config: Config, device: torch.device) -> tuple[Network, Network]:
    """Student and teacher with the same weights, which are a function of the seed alone."""
    torch.manual_seed(config.run.seed)
    kind = InstanceNetwork if config.objective.kind == "dino" else Network
    student = kind(config.model, config.model.drop_path, config.run.checkpointing).to(device)
    teacher = kind(config.model).to(device).requires_grad_(False)
    teacher.load_state_dict(student.state_dict())
    choose_attention(student, device, config.run.precision)
    return student, teacher


def compile_encoders(*networks: Network, mode: str | None = None) -> None:
    """torch.compile each network's encoder, whose small kernels a host launches more slowly than a fast GPU runs them.

    ``mode`` is torch.compile's.
    """
    for network in networks:
        network.encode_all = torch.compile(network.encode_all, dynamic=False, mode=mode)  # type: ignore[method-assign]


def make_objective(config: Config) -> Objective:
    """Eq. 13, or DINO's loss, as the config asks for it; :class:`InputError` when its prior is none."""
    objective, prior = config.objective, None
    if objective.kind == "dino":
        return Objective(
            config.model.clusters,
            objective.student_temp,
            volume_term=False,
            centering=True,
            center_momentum=objective.center_momentum,
        )
    if objective.prior:
        path = require_file(objective.prior, "prior (objective.prior)")
        try:
            values = np.loadtxt(path, dtype=np.float64, ndmin=1)
        except ValueError as error:
            raise InputError(f"{path} is no list of numbers ({error}): one cluster proportion a line") from error
        if values.shape != (config.model.clusters,) or not (values > 0).all() or abs(values.sum() - 1) > 1e-3:
            raise InputError(
                f"{path} holds {values.size} numbers with sum {values.sum():.4g}: a prior has model.clusters="
                f"{config.model.clusters} positive proportions that sum to 1"
            )
        prior = torch.from_numpy(values).float()
    return Objective(
        config.model.clusters,
        objective.student_temp,
        objective.volume_term,
        objective.centering,
        objective.sinkhorn,
        prior,
        objective.center_momentum,
    )
