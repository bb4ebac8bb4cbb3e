"""The training loop: steps, log, snapshots, resume."""

from __future__ import annotations

import contextlib
import json
import os
import time
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from benchmarks.errors import InputError
from benchmarks.files import write_text
from pretrain.config import Config, as_dict
from pretrain.data import make_loader
from pretrain.networks import Network
from pretrain.objective import Objective
from pretrain.schedules import cosine, warmup_then_constant
from pretrain.snapshot import load_snapshot, save_snapshot
from pretrain.step import StepValues, compute_losses, parameter_groups, update

#: Keys that may differ between the parts of one run: they change how it runs, not what it computes.
FREE_ON_RESUME = {"data": {"root", "workers"}, "run": {"out", "device", "snapshot_minutes", "log_every"}}


class Schedule:
    """All :class:`StepValues` of a run."""

    def __init__(self, config: Config, steps_per_epoch: int, global_batch: int) -> None:
        optim, objective, epochs = config.optim, config.objective, config.run.epochs
        steps = epochs * steps_per_epoch
        warmup = int(optim.warmup_fraction * epochs) * steps_per_epoch
        self.config, self.steps_per_epoch, self.steps = config, steps_per_epoch, steps
        self.lr = cosine(optim.lr * global_batch / 256.0, optim.min_lr, steps, warmup)
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
            coefficients=(float(self.intra[step]), objective.inter, objective.volume),
            clip=optim.clip,
            last_layer_frozen=epoch < optim.freeze_last_layer_epochs,
        )


class Trainer:
    """A pretraining run in one process, or in one of several started by ``torchrun``."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.rank, self.world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        self.device = _choose_device(config.run.device)
        if self.world > 1 and not dist.is_initialized():
            dist.init_process_group("nccl" if self.device.type == "cuda" else "gloo")
        self.out = Path(config.run.out)
        self.snapshot_path, self.log_path = self.out / "checkpoint.pth", self.out / "log.jsonl"
        self.loader, self.batches = make_loader(config, self.rank, self.world, self.device.type == "cuda")
        self.schedule = Schedule(config, len(self.batches), config.run.batch * self.world)
        torch.manual_seed(config.run.seed)
        self.student = Network(config.model, config.model.drop_path).to(self.device)
        self.teacher = Network(config.model).to(self.device).requires_grad_(False)
        self.teacher.load_state_dict(self.student.state_dict())
        self.objective = Objective(
            config.model.clusters,
            config.objective.student_temp,
            volume=config.objective.volume != 0,
            centering=config.objective.centering,
        ).to(self.device)
        self.optimizer = torch.optim.AdamW(parameter_groups(self.student), lr=0.0)
        self.step = 0
        self.broken: set[str] = set()
        self._resume()
        self.wrapped = DistributedDataParallel(self.student) if self.world > 1 else self.student

    def run(self) -> Path:
        """Train to the end (or go on to it) and return the path of the snapshot."""
        last_saved = time.monotonic()
        with tqdm(
            total=self.schedule.steps, initial=self.step, desc="FLSL", unit="step", disable=self.rank > 0
        ) as progress:
            while self.step < self.schedule.steps:
                self.batches.start(*divmod(self.step, self.schedule.steps_per_epoch))
                for batch in self.loader:
                    began = time.perf_counter()
                    losses = self._train_step(batch)
                    self._count_broken(batch.broken)
                    progress.update()
                    if self.step % self.config.run.log_every == 0 or self.step == self.schedule.steps:
                        self._log(losses, progress, began)
                    if time.monotonic() - last_saved > 60 * self.config.run.snapshot_minutes:
                        self._save()
                        last_saved = time.monotonic()
        self._save()
        return self.snapshot_path

    def _train_step(self, batch):
        # Drop path draws from torch's generator: seeding it by the step makes a resumed run equal an unbroken one.
        torch.manual_seed((self.config.run.seed * 1_000_003 + self.step) * self.world + self.rank)
        values = self.schedule.at(self.step)
        self.student.train()
        self.teacher.eval()
        move = {"device": self.device, "non_blocking": True}
        with self._autocast():
            losses = compute_losses(
                self.wrapped,
                self.teacher,
                self.objective,
                batch.teacher.to(**move),
                [view.to(**move) for view in batch.views],
                [queries.to(**move) for queries in batch.queries],
                values,
            )
        self.optimizer.zero_grad(set_to_none=True)
        losses.total.backward()
        update(self.student, self.teacher, self.optimizer, values)
        self.step += 1
        return losses

    def _autocast(self):
        if self.config.run.precision == "fp32":
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)

    def _log(self, losses, progress: tqdm, began: float) -> None:
        entry = {
            "step": self.step,
            "epoch": self.step / self.schedule.steps_per_epoch,
            **{name: value.item() for name, value in losses._asdict().items()},
            "lr": self.optimizer.param_groups[0]["lr"],
            "images_per_second": self.config.run.batch * self.world * (progress.format_dict["rate"] or 0.0),
            "seconds_a_step": time.perf_counter() - began,
        }
        if not np.isfinite(entry["total"]):
            raise FloatingPointError(f"the loss is {entry['total']} at step {self.step}: lower optim.lr")
        if self.rank == 0:
            self.out.mkdir(parents=True, exist_ok=True)
            with open(self.log_path, "a", encoding="utf-8") as stream:
                stream.write(json.dumps(entry) + "\n")
            progress.set_postfix(
                loss=f"{entry['total']:.3f}",
                intra=f"{entry['intra']:.4f}",
                inter=f"{entry['inter']:.3f}",
                volume=f"{entry['volume']:.3f}",
                img_s=f"{entry['images_per_second']:.0f}",
            )

    def _count_broken(self, names: list[str]) -> None:
        for name in names:
            if name not in self.broken:
                self.broken.add(name)
                tqdm.write(f"left out, cannot be decoded: {name}")
        share = len(self.broken) / len(self.loader.dataset)
        if share > self.config.data.max_broken:
            raise InputError(
                f"{len(self.broken)} of {len(self.loader.dataset)} images cannot be decoded, the last is "
                f"{sorted(self.broken)[-1]}: repair them or raise data.max_broken ({self.config.data.max_broken})"
            )

    def _save(self) -> None:
        if self.rank == 0:
            facts = as_dict(self.config)
            save_snapshot(
                self.snapshot_path,
                {
                    "student": self.student.state_dict(),
                    "teacher": self.teacher.state_dict(),
                    "optimizer": self.optimizer.state_dict(),
                    "flsl_loss": self.objective.state_dict(),
                    "epoch": self.step // self.schedule.steps_per_epoch,
                    "step": self.step,
                    "broken": sorted(self.broken),
                    "world": self.world,
                    "args": {**facts["model"], "config": facts},
                },
            )

    def _resume(self) -> None:
        if not self.snapshot_path.exists():
            self.log_path.unlink(missing_ok=True)
            return
        state = load_snapshot(self.snapshot_path)
        _refuse_other_run(self.snapshot_path, state["args"]["config"], as_dict(self.config))
        if state["world"] != self.world:
            raise InputError(f"{self.snapshot_path} was made by {state['world']} processes: resume it with as many")
        self.student.load_state_dict(state["student"])
        self.teacher.load_state_dict(state["teacher"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.objective.load_state_dict(state["flsl_loss"])
        self.step, self.broken = state["step"], set(state["broken"])
        if self.rank == 0 and self.log_path.exists():
            lines = self.log_path.read_text(encoding="utf-8").splitlines()
            kept = [line for line in lines if line.endswith("}") and json.loads(line)["step"] <= self.step]
            write_text(self.log_path, "".join(line + "\n" for line in kept))


def _refuse_other_run(path: Path, stored: dict, asked: dict) -> None:
    for section, values in asked.items():
        for key, value in values.items():
            if key not in FREE_ON_RESUME.get(section, ()) and stored.get(section, {}).get(key) != value:
                raise InputError(
                    f"{path} was trained with {section}.{key}={stored.get(section, {}).get(key)}, now {value} is "
                    "asked: use another run.out, or move the file away"
                )


def _choose_device(name: str) -> torch.device:
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("run.device is cuda, but torch sees no GPU: use run.device=cpu")
    if name == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
    torch.cuda.set_device(device)
    return device
