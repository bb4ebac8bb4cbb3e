"""Which values a pretraining config may have: refused before anything is written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.errors import InputError

if TYPE_CHECKING:
    from pretrain.config import Config

CHOICES = {
    "objective.kind": ("flsl", "dino"),
    "model.final_norm": ("tokens", "modes", "none"),
    "data.augment_on": ("auto", "cpu", "device"),
    "run.precision": ("bf16", "fp16", "fp32"),
    "run.device": ("auto", "cpu", "cuda"),
    "run.export": ("teacher", "both", "none"),
}

#: Smallest and largest value of each number; ends included. What is not here may be any finite number.
RANGES = {
    "model.embed_dim": (4, None),
    "model.depth": (1, None),
    "model.num_heads": (1, None),
    "model.patch_size": (1, None),
    "model.drop_path": (0.0, 0.999),
    "model.position_scale": (0.0, None),
    "model.position_dropout": (0.0, 1.0),
    "model.clusters": (2, None),
    "model.head_hidden_dim": (1, None),
    "model.head_bottleneck_dim": (1, None),
    "data.workers": (0, None),
    "data.max_broken": (0.0, 1.0),
    "views.local_views": (0, None),
    "views.jitter_probability": (0.0, 1.0),
    "views.grey_probability": (0.0, 1.0),
    "objective.student_temp": (1e-6, None),
    "objective.teacher_temp": (1e-6, None),
    "objective.teacher_temp_start": (1e-6, None),
    "objective.teacher_temp_warmup_epochs": (0, None),
    "objective.center_momentum": (0.0, 1.0),
    "objective.projected_epochs": (0, None),
    "previous.heads": (0, None),
    "previous.blocks": (1, None),
    "previous.share_end": (0.0, 1.0),
    "optim.lr": (0.0, None),
    "optim.min_lr": (0.0, None),
    "optim.warmup_fraction": (0.0, 1.0),
    "optim.warmup_steps": (0, None),
    "optim.weight_decay": (0.0, None),
    "optim.weight_decay_end": (0.0, None),
    "optim.momentum_teacher": (0.0, 1.0),
    "optim.clip": (0.0, None),
    "optim.freeze_last_layer_epochs": (0, None),
    "run.epochs": (1, None),
    "run.batch": (1, None),
    "run.accumulate": (1, None),
    "run.seed": (0, None),
    "run.snapshot_steps": (0, None),
    "run.snapshot_minutes": (0.0, None),
    "run.keep": (1, None),
    "run.log_every": (1, None),
    "run.picture_epochs": (0, None),
}


def check(config: Config, where: str) -> None:
    """Refuse values that no run could use; :class:`InputError` says which, and what would do."""

    def value_of(name: str) -> Any:
        section, key = name.split(".")
        return getattr(getattr(config, section), key)

    for name, allowed in CHOICES.items():
        if value_of(name) not in allowed:
            raise InputError(f"{where}: {name} is {value_of(name)!r}, but must be one of {', '.join(allowed)}")
    for name, (low, high) in RANGES.items():
        value = value_of(name)
        if value < low or (high is not None and value > high):
            limit = "" if high is None else f" and at most {high}"
            raise InputError(f"{where}: {name} is {value}, but must be at least {low}{limit}")
    model, views, objective = config.model, config.views, config.objective
    if model.embed_dim % model.num_heads:
        raise InputError(f"{where}: model.embed_dim {model.embed_dim} is no multiple of num_heads {model.num_heads}")
    if model.position_scale != 1 and not model.fixed_positions:
        raise InputError(f"{where}: model.position_scale is for the fixed table: learned positions have their own size")
    if model.fixed_positions and model.embed_dim % 4:
        raise InputError(f"{where}: fixed_positions needs model.embed_dim to be a multiple of 4, not {model.embed_dim}")
    for name, size in (("model.image_size", model.image_size), ("views.local_size", views.local_size)):
        if size < model.patch_size or size % model.patch_size:
            raise InputError(f"{where}: {name} {size} is no multiple of the patch size {model.patch_size}")
    for name, window, size in (
        ("views.global_window", views.global_window, model.image_size),
        ("views.local_window", views.local_window, views.local_size),
    ):
        if not 1 <= window <= size // model.patch_size:
            raise InputError(f"{where}: {name} {window} does not fit into {size // model.patch_size} tokens a side")
    for name in ("teacher_scale", "student_scale", "local_scale"):
        low, high = getattr(views, name)
        if not 0 < low <= high <= 1:
            raise InputError(f"{where}: views.{name} is [{low}, {high}], but must be rising area fractions in (0, 1]")
    if min(views.jitter) < 0 or views.jitter[3] > 0.5:
        raise InputError(f"{where}: views.jitter is {list(views.jitter)}, but none is negative, the hue at most 0.5")
    if objective.kind == "flsl" and (model.class_token or objective.both_globals):
        raise InputError(f"{where}: model.class_token and objective.both_globals belong to objective.kind=dino")
    if objective.kind == "dino":
        foreign = [
            name for name in ("sinkhorn", "projected_epochs", "centred_retrieval", "prior") if getattr(objective, name)
        ]
        foreign += ["intra_start"] * (objective.intra_start is not None)
        if foreign or config.previous.checkpoint:
            what = ", ".join([f"objective.{name}" for name in foreign] or ["previous.checkpoint"])
            raise InputError(f"{where}: {what} is FLSL's, and means nothing with objective.kind=dino")
    if objective.sinkhorn and objective.centering:
        raise InputError(f"{where}: objective.sinkhorn cancels what objective.centering subtracts: choose one of them")
