"""The training loop: steps, log, snapshots, resume."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from pathlib import Path
from typing import Any, cast

import torch
from torch.nn.parallel import DistributedDataParallel

from benchmarks.devices import say_device
from benchmarks.errors import InputError
from benchmarks.progress import Progress
from pretrain.ahead import Ahead
from pretrain.build import compile_encoders, make_networks, make_objective
from pretrain.config import Config, as_dict
from pretrain.data import Batch, ViewsDataset, make_loader, steps_of
from pretrain.distributed import Processes, choose_device, mean_over_processes
from pretrain.export import export_canonical
from pretrain.failure import Stopped, TrainingFailed
from pretrain.finite import Finite
from pretrain.log import RunLog
from pretrain.objective import Losses, Statistics
from pretrain.previous_stage import PreviousStage, load_previous_stage
from pretrain.resume import refuse_other_run
from pretrain.schedules import Schedule
from pretrain.sight import describe, draw
from pretrain.signals import Requests
from pretrain.snapshot import SnapshotFolder, loss_key, save_aside
from pretrain.step import Step


class Trainer:
    """A pretraining run in one process, or in one of several started by ``torchrun``."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.device = choose_device(config.run.device)
        self.processes = Processes(self.device)
        self.rank, self.world = self.processes.rank, self.processes.world
        self.loader, self.batches = make_loader(config, self.rank, self.world, self.device)
        say_device(config.run.device)
        self.images = cast(ViewsDataset, self.loader.dataset).images
        self.data = {"images": len(self.images), "names": self.images.fingerprint()}
        self.schedule = Schedule(config, self.batches.steps, self.batches.global_batch)
        student, teacher = make_networks(config, self.device)
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
        self._finite = Finite(scaled=self.work.scaler is not None)
        self._resume()
        if config.run.compile:
            compile_encoders(student, teacher)
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
        """Train to the end (or go on to it) and return the path of the newest snapshot; then let go of ``run.out``."""
        try:
            return self._run()
        finally:
            self.snapshots.release()

    def _run(self) -> Path:
        run, out = self.config.run, self.snapshots.out
        if self.processes.first:
            self.log = RunLog(out, self.step, run.tensorboard)
            if self.step == 0:
                self._save()  # a disk that cannot take snapshots is found out before the first step
        saved_at = time.monotonic()
        bar = Progress(
            total=self.schedule.steps,
            initial=self.step,
            desc=self.config.objective.kind.upper(),
            unit="step",
            disable=not self.processes.first,
        )
        with Requests() as requests, bar as self.progress:
            waited, self._clock = time.perf_counter(), (self.step, time.perf_counter())
            self._next = Ahead(steps_of(self.loader, self.step, self.schedule.steps), self.device)
            while taken := self._next.take():
                parts = taken.parts
                self._count_broken(taken.broken)
                if not parts:
                    raise InputError(
                        f"none of the images of step {self.step} could be decoded, for instance "
                        f"{next(iter(taken.broken))}: check data.root"
                    )
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

    def _train_step(self, parts: list[Batch], weights: list[float]) -> tuple[Losses, Statistics, float]:
        """One step. The host waits for the device once, when all but the update is queued."""
        values = self.schedule.at(self.step)
        losses, statistics = self.work.backward(parts, values, weights)
        norms = self.work.gradient_norms()
        if self.device.type == "cuda":
            self._next.prepare()
        total, *each = torch.cat([losses.total[None].float(), norms.float()]).tolist()
        norm = math.hypot(*each)
        self._refuse_non_finite(parts, losses, total, norm)
        self.work.update(values, statistics, norms)
        self.step += 1
        return losses, statistics, norm

    def _refuse_non_finite(self, parts: list[Batch], losses: Losses, total: float, norm: float) -> None:
        """End the run before a loss or gradient that is no number reaches the weights; keep what shows why."""
        wrong = self._finite.refuses(losses, total, norm)
        if wrong is None:
            return
        path = self.snapshots.out / f"nonfinite-step-{self.step:08d}-rank{self.rank}.pth"
        batches = [part._asdict() for part in parts]
        save_aside(path, {**self._state(), "batches": batches, "losses": losses._asdict()})
        last = self.snapshots.found()
        raise TrainingFailed(
            f"step {self.step}: {wrong}; batch and weights are in {path}, the last good snapshot is "
            f"{last[0] if last else 'missing'}: lower optim.lr or use run.precision=fp32"
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
        terms = mean_over_processes(torch.stack([losses.total, losses.intra, losses.inter])).tolist()
        broken = self._gather_broken()
        if not self.processes.first:
            return
        found, warnings = describe(self.config, self.work, batch, terms, losses, statistics, norm, values)
        entry = {"step": self.step, "epoch": self.step / self.schedule.steps_per_epoch, **found}
        if broken:
            entry["broken"] = broken
        if self.step > max(self.schedule.warmup_steps, self.schedule.steps_per_epoch):
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
            loss=f"{entry['total']:.3f}",
            intra=f"{entry['intra']:.4f}",
            inter=f"{entry['inter']:.3f}",
            volume=f"{entry['volume']:.3f}",
            clusters=f"{entry['perplexity']:.0f}",
        )

    @torch.no_grad()
    def _draw(self, epoch: int) -> None:
        """A picture of what the teacher sees in the same few images."""
        if not self.processes.first:
            return
        path = self.snapshots.out / "pictures" / f"epoch-{epoch:04d}.png"
        temperature = self.schedule.at(self.step - 1).sa_temperature
        draw(path, self.work, self.images, self.config.model.image_size, temperature, f"epoch {epoch}")

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
            loss_key(self.config.objective.kind): self.work.objective.state_dict(),
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
        work.objective.load_state_dict(state[loss_key(self.config.objective.kind)])
        if work.scaler is not None:
            work.scaler.load_state_dict(state["fp16_scaler"])
        self.step, self.broken, self._named = state["step"], dict(state["broken"]), state["named"]
