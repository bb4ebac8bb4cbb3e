"""Values that change during training, as arrays with one entry a step (or an epoch)."""

from __future__ import annotations

import numpy as np

from pretrain.config import Config
from pretrain.step import StepValues


def cosine(start: float, end: float, steps: int, warmup_steps: int = 0) -> np.ndarray:
    """Linear warm-up from 0 to ``start``, then half a cosine to ``end``; float64 ``[steps]``.

    The warm-up's last step is ``start`` itself, and the cosine begins there again: the published
    schedule repeats the value (ISL-CV/FLSL, ``cosine_scheduler``).
    """
    warmup_steps = min(warmup_steps, steps)
    warmup = np.linspace(0.0, start, warmup_steps)
    progress = np.arange(steps - warmup_steps) / max(1, steps - warmup_steps)
    return np.concatenate([warmup, end + 0.5 * (start - end) * (1.0 + np.cos(np.pi * progress))])


def warmup_then_constant(start: float, value: float, warmup: int, total: int) -> np.ndarray:
    """Linear from ``start`` to ``value`` over ``warmup`` entries, then constant; float64 ``[total]``."""
    warmup = min(warmup, total)
    return np.concatenate([np.linspace(start, value, warmup), np.full(total - warmup, value)])


class Schedule:
    """All :class:`StepValues` of a run."""

    def __init__(self, config: Config, steps_per_epoch: int, global_batch: int) -> None:
        optim, objective, epochs = config.optim, config.objective, config.run.epochs
        steps = epochs * steps_per_epoch
        self.config, self.steps_per_epoch, self.steps = config, steps_per_epoch, steps
        self.warmup_steps = optim.warmup_steps or int(optim.warmup_fraction * epochs) * steps_per_epoch
        self.lr = cosine(optim.lr * global_batch / 256.0, optim.min_lr, steps, self.warmup_steps)
        self.weight_decay = cosine(optim.weight_decay, optim.weight_decay_end, steps)
        self.momentum = cosine(optim.momentum_teacher, 1.0, steps)
        self.teacher_temp = warmup_then_constant(
            objective.teacher_temp_start, objective.teacher_temp, objective.teacher_temp_warmup_epochs, epochs
        )

        def moving(start: float | None, end: float) -> np.ndarray:
            return cosine(end if start is None else start, end, steps)

        self.intra = moving(objective.intra_start, objective.intra)
        self.sa = moving(objective.sa_temperature_start, objective.sa_temperature)
        self.ca = moving(objective.ca_temperature_start, objective.ca_temperature)
        staged = bool(config.previous.checkpoint)
        self.own_share = cosine(0.0, 1.0 - config.previous.share_end, steps) if staged else np.ones(steps)

    def at(self, step: int) -> StepValues:
        """The values of global step ``step``, counted from 0."""
        optim, objective = self.config.optim, self.config.objective
        epoch = step // self.steps_per_epoch
        return StepValues(
            lr=float(self.lr[step]),
            weight_decay=float(self.weight_decay[step]),
            momentum_teacher=float(self.momentum[step]),
            teacher_temp=float(self.teacher_temp[epoch]),
            sa_temperature=float(self.sa[step]),
            ca_temperature=float(self.ca[step]),
            coefficients=(
                (0.0, 1.0, 0.0)
                if objective.kind == "dino"
                else (float(self.intra[step]), objective.inter, objective.volume)
            ),
            clip=optim.clip,
            last_layer_frozen=epoch < optim.freeze_last_layer_epochs,
            own_share=float(self.own_share[step]),
            in_place=epoch < objective.projected_epochs,
            centred=objective.centred_retrieval,
            both_globals=objective.both_globals,
        )
