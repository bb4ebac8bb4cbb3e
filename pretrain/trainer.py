"""The training loop: steps, log, snapshots, resume."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from benchmarks.errors import InputError
from benchmarks.files import require_file
from benchmarks.images import read_rgb
from pretrain.config import Config, as_dict
from pretrain.data import Batch, Loaded, make_loader, normalise
from pretrain.distributed import Processes, choose_device, mean_over_processes
from pretrain.export import export_canonical
from pretrain.failure import Stopped, TrainingFailed
from pretrain.log import RunLog
from pretrain.networks import Network, choose_attention
from pretrain.objective import Losses, Objective, Statistics
from pretrain.previous_stage import PreviousStage, load_previous_stage
from pretrain.resume import refuse_other_run
from pretrain.schedules import Schedule
from pretrain.signals import Requests
from pretrain.snapshot import SnapshotFolder, save_aside
from pretrain.step import Step, StepValues
from pretrain.views import resized_crop
from pretrain.watch import collapse, perplexity, separation

#: Images of a step that the separability in the log is measured on, and images in a picture.
WATCHED, PICTURED = 8, 4


class Trainer:
    """A pretraining run in one process, or in one of several started by ``torchrun``."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.device = choose_device(config.run.device)
        self.processes = Processes(self.device)
        self.rank, self.world = self.processes.rank, self.processes.world
        self.loader, self.batches = make_loader(config, self.rank, self.world, self.device)
        self.images = self.loader.dataset.images
        self.data = {"images": len(self.images), "names": self.images.fingerprint()}
        self.schedule = Schedule(config, self.batches.steps, self.batches.global_batch)
        torch.manual_seed(config.run.seed)
        student = Network(config.model, config.model.drop_path, config.run.checkpointing).to(self.device)
        teacher = Network(config.model).to(self.device).requires_grad_(False)
        teacher.load_state_dict(student.state_dict())
        choose_attention(student, self.device, config.run.precision)
        objective = make_objective(config).to(self.device)
        self.snapshots = SnapshotFolder(Path(config.run.out), config.run.keep)
        self._prepare(size=16 * sum(p.numel() for p in student.parameters()))
        self.work = Step(
            student,
            teacher,
            objective,
            previous=self._previous_stage(),
            autocast=self._autocast(),
            scaler=torch.amp.GradScaler(self.device.type) if config.run.precision == "fp16" else None,
        )
        self.step = 0
        self.broken: dict[str, str] = {}
        self._named = 0  # broken files that are in the log already
        self._collapsed = False  # at the last line of the log
        self._resume()
        if config.run.compile:
            for network in (student, teacher):
                network.encode = torch.compile(network.encode, dynamic=False)
        if self.world > 1:
            self.work.wrapped = DistributedDataParallel(student, broadcast_buffers=False, gradient_as_bucket_view=True)

    def _prepare(self, size: int) -> None:
        """Let the first process look at ``run.out``, and end all of them when it cannot be used."""
        problem = None
        if self.processes.first:
            try:
                self.snapshots.prepare(size)
            except InputError as error:
                problem = error
        if self.processes.sum(int(problem is not None))[0]:
            raise problem or InputError("the first process cannot use run.out, and says why")

    # -- the loop

    def run(self) -> Path:
        """Train to the end (or go on to it) and return the path of the newest snapshot."""
        run, out = self.config.run, self.snapshots.out
        if self.processes.first:
            self.log = RunLog(out, self.step, run.tensorboard)
            if self.step == 0:
                self._save()  # a disk that cannot take snapshots is found out before the first step
        saved_at = time.monotonic()
        bar = tqdm(
            total=self.schedule.steps,
            initial=self.step,
            desc="FLSL",
            unit="step",
            mininterval=0.1 if sys.stderr.isatty() else 30.0,  # a batch system's log wants no line a step
            disable=not self.processes.first,
        )
        with Requests() as requests, bar as self.progress:
            waited, self._clock = time.perf_counter(), (self.step, time.perf_counter())
            for parts in self._steps():
                seconds = {"data_seconds": time.perf_counter() - waited}
                counts = [part.query_count for part in parts]
                queries, stops = self.processes.sum(sum(counts), int(requests.stop is not None))
                if stops:
                    self._save()
                    raise Stopped(
                        f"stopped at step {self.step} of {self.schedule.steps}; the same command goes on from there",
                        128 + (requests.stop or 15),
                    )
                mean = queries / self.world
                losses, statistics, norm = self._train_step(parts, [count / mean for count in counts])
                self.progress.update()
                if self.step % run.log_every == 0 or self.step == self.schedule.steps:
                    self._log(parts[0], losses, statistics, norm, seconds)
                epoch, inside = divmod(self.step, self.schedule.steps_per_epoch)
                if (
                    inside == 0  # the last step is one of these
                    or requests.save
                    or (run.snapshot_steps and self.step % run.snapshot_steps == 0)
                    or time.monotonic() - saved_at > 60 * run.snapshot_minutes
                ):
                    requests.save = False
                    self._save()
                    saved_at = time.monotonic()
                if inside == 0 and run.picture_epochs and epoch % run.picture_epochs == 0:
                    self._draw(epoch)
                waited = time.perf_counter()
        if self.processes.first:
            self.log.close()
            export_canonical(self.snapshots.newest, run.export)
        self.processes.barrier()
        return self.snapshots.newest

    def _steps(self) -> Iterator[list[Batch]]:
        """The parts of each step that is left to do, on the device."""
        while self.step < self.schedule.steps:
            epoch, first = divmod(self.step, self.schedule.steps_per_epoch)
            self.batches.start(epoch, first)
            loaded = iter(self.loader)
            for _ in range(first, self.schedule.steps_per_epoch):
                pieces: list[Loaded] = [next(loaded) for _ in range(self.config.run.accumulate)]
                for piece in pieces:
                    self._count_broken(piece.broken)
                parts = [piece.batch.to(self.device) for piece in pieces if piece.batch is not None]
                if not parts:
                    raise InputError(
                        f"none of the images of step {self.step} could be decoded, for instance "
                        f"{next(iter(pieces[0].broken))}: check data.root"
                    )
                yield parts

    def _train_step(self, parts: list[Batch], weights: list[float]) -> tuple[Losses, Statistics, float]:
        values = self.schedule.at(self.step)
        losses, statistics = self.work.backward(parts, values, weights)
        norms = self.work.gradient_norms()
        norm = math.hypot(*norms)
        self._refuse_non_finite(parts, losses, norm)
        self.work.update(values, statistics, norms)
        self.step += 1
        return losses, statistics, norm

    def _refuse_non_finite(self, parts: list[Batch], losses: Losses, norm: float) -> None:
        """End the run before a loss or gradient that is no number reaches the weights; keep what shows why.

        With fp16 an infinite gradient is the scaler's business: it lowers the scale and leaves the step out.
        """
        total = losses.total.item()
        if math.isfinite(total) and (math.isfinite(norm) or self.work.scaler is not None):
            return
        path = self.snapshots.out / f"nonfinite-step-{self.step:08d}-rank{self.rank}.pth"
        batches = [part._asdict() for part in parts]
        save_aside(path, {**self._state(), "batches": batches, "losses": losses._asdict()})
        last = self.snapshots.found()
        raise TrainingFailed(
            f"step {self.step}: the loss is {total:.4g} (intra {losses.intra.item():.4g}, inter "
            f"{losses.inter.item():.4g}, volume {losses.volume.item():.4g}), the gradient's norm {norm:.4g}; batch "
            f"and weights are in {path}, the last good snapshot is {last[0] if last else 'missing'}: lower optim.lr "
            "or use run.precision=fp32"
        )

    def _autocast(self) -> contextlib.AbstractContextManager:
        dtypes = {"bf16": torch.bfloat16, "fp16": torch.float16}
        if self.config.run.precision == "fp32":
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=dtypes[self.config.run.precision])

    def _previous_stage(self) -> PreviousStage | None:
        previous = load_previous_stage(self.config.previous, self.config.model, self.snapshots.out / "converted")
        return previous if previous is None else previous.to(self.device)

    # -- sight

    @torch.no_grad()
    def _log(
        self, batch: Batch, losses: Losses, statistics: Statistics, norm: float, seconds: dict[str, float]
    ) -> None:
        values = self.schedule.at(self.step - 1)
        terms = mean_over_processes(torch.stack([losses.total, losses.intra, losses.inter]))
        broken = self._gather_broken()
        if not self.processes.first:
            return
        with self.work.autocast:
            tokens = Network.encode(self.work.teacher, batch.teacher[:WATCHED])
        separability, similarity = separation(tokens, values.sa_temperature)
        total, intra, inter = terms.tolist()
        entry = {
            "step": self.step,
            "epoch": self.step / self.schedule.steps_per_epoch,
            "total": total,
            "intra": intra,
            "inter": inter,
            "volume": losses.volume.item(),
            "perplexity": perplexity(statistics.assignment),
            "separability": separability,
            "similarity": similarity,
            "gradient_norm": norm,
            **_scheduled(values),
        }
        if self.work.scaler is not None:
            entry["loss_scale"] = self.work.scaler.get_scale()
        if broken:
            entry["broken"] = broken
        if self.step > max(self.schedule.warmup_steps, self.schedule.steps_per_epoch):
            warnings = collapse(self.config.model.clusters, entry["perplexity"], inter, similarity)
            if warnings:
                entry["collapse"] = warnings
            if warnings and not self._collapsed:
                self.progress.write(f"step {self.step}: collapse? " + "; ".join(warnings), file=sys.stderr)
            self._collapsed = bool(warnings)
        since, began = self._clock
        self._clock = self.step, time.perf_counter()
        rate = self.batches.global_batch * (self.step - since) / (self._clock[1] - began)
        self.log.write(entry, {"images_per_second": rate, **seconds})
        self.progress.set_postfix(
            refresh=False,
            img_s=f"{rate:.0f}",
            loss=f"{total:.3f}",
            intra=f"{intra:.4f}",
            inter=f"{inter:.3f}",
            volume=f"{entry['volume']:.3f}",
            clusters=f"{entry['perplexity']:.0f}",
        )

    @torch.no_grad()
    def _draw(self, epoch: int) -> None:
        """A picture of what the teacher sees in the same few images."""
        if not self.processes.first:
            return
        from pretrain.pictures import write_pictures  # matplotlib takes a second to import

        images = []
        for index in np.linspace(0, len(self.images) - 1, PICTURED).astype(int):
            with contextlib.suppress(InputError):
                image = read_rgb(self.images[index])
                side = min(image.shape[:2])
                box = ((image.shape[1] - side) // 2, (image.shape[0] - side) // 2, side, side)
                images.append(resized_crop(image, box, self.config.model.image_size))
        if images:
            with self.work.autocast:
                pixels = normalise(torch.from_numpy(np.stack(images)).to(self.device))
                tokens = Network.encode(self.work.teacher, pixels)
            path = self.snapshots.out / "pictures" / f"epoch-{epoch:04d}.png"
            write_pictures(path, images, tokens, self.schedule.at(self.step - 1).sa_temperature, f"epoch {epoch}")

    # -- broken images

    def _count_broken(self, found: dict[str, str]) -> None:
        for name, reason in found.items():
            if name not in self.broken:
                self.broken[name] = reason
                self.progress.write(f"left out, cannot be decoded: {reason}", file=sys.stderr)
        count, images = len(self.broken), len(self.images)
        if count / images > self.config.data.max_broken:
            raise InputError(
                f"{count} of {images} images cannot be decoded, more than data.max_broken "
                f"({self.config.data.max_broken}) allows; the last: {list(self.broken.values())[-1]}"
            )

    def _gather_broken(self) -> list[str]:
        """Broken files of all processes that no line of the log has named yet."""
        for theirs in self.processes.gather(self.broken):
            self.broken |= theirs
        names, self._named = list(self.broken)[self._named :], len(self.broken)
        return names

    # -- snapshots

    def _state(self) -> dict[str, Any]:
        facts = as_dict(self.config)
        state = {
            "student": self.work.student.state_dict(),
            "teacher": self.work.teacher.state_dict(),
            "optimizer": self.work.optimizer.state_dict(),
            "flsl_loss": self.work.objective.state_dict(),
            "epoch": self.step // self.schedule.steps_per_epoch,
            "step": self.step,
            "broken": self.broken,
            "named": self._named,
            "global_batch": self.batches.global_batch,
            "data": self.data,
            "args": {**facts["model"], "config": facts},
        }
        if self.work.scaler is not None:
            state["fp16_scaler"] = self.work.scaler.state_dict()
        return state

    def _save(self) -> None:
        if self.processes.first:
            self.snapshots.save(self._state(), self.step)

    def _resume(self) -> None:
        found = self.snapshots.load()
        if found is None:
            return
        path, state = found
        refuse_other_run(path, state, self.config, self.batches.global_batch, self.data)
        work = self.work
        work.student.load_state_dict(state["student"])
        work.teacher.load_state_dict(state["teacher"])
        work.optimizer.load_state_dict(state["optimizer"])
        work.objective.load_state_dict(state["flsl_loss"])
        if work.scaler is not None:
            work.scaler.load_state_dict(state["fp16_scaler"])
        self.step, self.broken, self._named = state["step"], dict(state["broken"]), state["named"]


def _scheduled(values: StepValues) -> dict[str, float]:
    return {
        "lr": values.lr,
        "weight_decay": values.weight_decay,
        "momentum_teacher": values.momentum_teacher,
        "teacher_temp": values.teacher_temp,
        "sa_temperature": values.sa_temperature,
        "ca_temperature": values.ca_temperature,
        "intra_coefficient": values.coefficients[0],
    }


def make_objective(config: Config) -> Objective:
    """Eq. 13 as the config asks for it; :class:`InputError` when its prior is none."""
    objective, prior = config.objective, None
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
