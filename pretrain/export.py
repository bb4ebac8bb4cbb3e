"""What a finished run hands over: canonical checkpoints, or a file for the published code's own readers."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

import torch

from benchmarks.checkpoints.convert import convert
from benchmarks.files import atomic_path


def export_canonical(snapshot: Path, which: str) -> list[Path]:
    """Write ``teacher.safetensors`` (and ``student.safetensors`` for ``both``) with their cards beside ``snapshot``."""
    branches = {"none": (), "teacher": ("teacher",), "both": ("teacher", "student")}[which]
    written = [snapshot.with_name(f"{branch}.safetensors") for branch in branches]
    for branch, path in zip(branches, written, strict=True):
        convert(snapshot, path, branch=branch)
    return written


def export_official(path: Path, state: dict[str, Any]) -> None:
    """Write a snapshot's ``state`` as ISL-CV/FLSL's own programs read it.

    Full files there have the student under ``module.`` (it was wrapped), an unused ``cls_token`` in each backbone,
    and an ``argparse.Namespace``; k-NN and its own resume read those. Its detector and ``vit2mmseg.py`` look into
    ``state_dict`` for a bare timm backbone, so that is there as well, without the class token that neither has.
    """
    backbone = {
        name.removeprefix("backbone."): tensor
        for name, tensor in state["teacher"].items()
        if name.startswith("backbone.")
    }
    width = backbone["pos_embed"].shape[-1]
    unused = {"backbone.cls_token": torch.zeros(1, 1, width)}
    config = state["args"]["config"]
    official = {
        "student": {f"module.{name}": tensor for name, tensor in {**unused, **state["student"]}.items()},
        "teacher": {**unused, **state["teacher"]},
        "optimizer": state["optimizer"],
        "epoch": state["epoch"],
        "args": Namespace(**_published_arguments(config)),
        "flsl_loss": _published_buffers(state["flsl_loss"]),
        "state_dict": backbone,
    }
    if state.get("fp16_scaler"):
        official["fp16_scaler"] = state["fp16_scaler"]
    with atomic_path(path) as temporary:
        torch.save(official, temporary)


def _published_buffers(buffers: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    names = {"prior": "volume_maximization.prior", "center": "centering.center"}
    return {names[name]: tensor for name, tensor in buffers.items()}


def _published_arguments(config: dict[str, Any]) -> dict[str, Any]:
    """The published program's arguments that have a counterpart here, under its names."""
    model, views, objective, optim, run = (config[s] for s in ("model", "views", "objective", "optim", "run"))
    arch = {192: "vit_tiny", 384: "vit_small", 768: "vit_base"}.get(model["embed_dim"], "custom")
    return {
        "arch": arch,
        "patch_size": model["patch_size"],
        "num_heads": model["num_heads"],  # not an argument there: its architectures imply it
        "out_dim": model["clusters"],
        "norm_last_layer": model["unit_centroids"],
        "post_layernorm": model["final_norm"] != "none",
        "layernorm_on_mode": model["final_norm"] == "modes",
        "sin_cos_pos_emb": model["fixed_positions"],
        "drop_path_rate": model["drop_path"],
        "global_resize": model["image_size"],
        "local_resize": views["local_size"],
        "local_crops_number": views["local_views"],
        "global_crops_scale_t": views["teacher_scale"],
        "global_crops_scale_s": views["student_scale"],
        "local_crops_scale": views["local_scale"],
        "sampling_window_size_g": views["global_window"],
        "sampling_window_size_l": views["local_window"],
        "random_sampling": views["random_queries"],
        "loss_coefficients": [objective["intra"], objective["inter"], objective["volume"]],
        "start_intraview": objective["intra_start"],
        "volume_maximization": objective["volume_term"],
        "teacher_centering": objective["centering"],
        "student_temp": objective["student_temp"],
        "teacher_temp": objective["teacher_temp"],
        "warmup_teacher_temp": objective["teacher_temp_start"],
        "warmup_teacher_temp_epochs": objective["teacher_temp_warmup_epochs"],
        "meanshift_sa_temp": objective["sa_temperature"],
        "meanshift_ca_temp": objective["ca_temperature"],
        "meanshift_sa_temp_start": objective["sa_temperature_start"],
        "meanshift_ca_temp_start": objective["ca_temperature_start"],
        "lr": optim["lr"],
        "min_lr": optim["min_lr"],
        "warmup_epochs": optim["warmup_fraction"],
        "weight_decay": optim["weight_decay"],
        "weight_decay_end": optim["weight_decay_end"],
        "momentum_teacher": optim["momentum_teacher"],
        "clip_grad": optim["clip"],
        "freeze_last_layer": optim["freeze_last_layer_epochs"],
        "epochs": run["epochs"],
        "batch_size_per_gpu": run["batch"],
        "use_fp16": run["precision"] == "fp16",
        "seed": run["seed"],
    }
