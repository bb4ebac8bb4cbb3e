"""What mmengine's runs lack: proof of the weights, snapshots that a crash cannot spoil, a loss log, whole images."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.dist import get_world_size, is_main_process
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS, TRANSFORMS

from benchmarks.errors import InputError
from benchmarks.images import read_rgb
from benchmarks.processes import PATIENCE
from benchmarks.progress import Progress

SNAPSHOT = "last.pth"


@HOOKS.register_module()
class VerifiedLoading(Hook):
    """Ends a run whose backbone does not hold the checkpoint's weights after the library initialised it.

    A resumed run starts from its own snapshot and is not compared.
    """

    priority = "VERY_LOW"

    def before_train(self, runner) -> None:
        if runner.iter > 0:
            return
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        found = model.backbone.differences()
        if found:
            raise InputError(
                f"the backbone does not hold {model.backbone.checkpoint} after initialisation: "
                f"{'; '.join(found[:3])} ({len(found)} in all)"
            )
        runner.logger.info(f"verified: the backbone holds every tensor of {model.backbone.checkpoint}")


@HOOKS.register_module()
class AtomicSnapshot(Hook):
    """Writes ``last.pth`` every ``interval`` updates and at the end: to another name, then renamed over the old.

    Where gradients are accumulated it is only written between updates. On SIGTERM, which a scheduler sends before it
    takes a machine away, all processes write it after the same update and end with exit code 143.
    """

    priority = "VERY_LOW"

    def __init__(self, interval: int) -> None:
        self.interval = interval

    def before_train(self, runner) -> None:
        def stop(*_) -> None:
            self.asked_to_stop = True

        self.asked_to_stop = False
        # Flags travel between hosts' processors, so that they never wait for a GPU.
        several = get_world_size() > 1
        self.control: Any = torch.distributed.new_group(backend="gloo", timeout=PATIENCE) if several else None
        self.earlier = signal.signal(signal.SIGTERM, stop)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        passes = getattr(runner.optim_wrapper, "_accumulative_counts", 1)
        done = runner.iter + 1
        stop = done % passes == 0 and self._any_asked_to_stop()
        if stop or done % (self.interval * passes) == 0 or done == runner.max_iters:
            self._save(runner)
        if stop:
            raise SystemExit(128 + signal.SIGTERM)

    def after_train(self, runner) -> None:
        signal.signal(signal.SIGTERM, self.earlier)

    def _any_asked_to_stop(self) -> bool:
        if self.control is None:
            return self.asked_to_stop
        # The signal does not reach all processes at once; those that stop must all stop after the same update.
        asked = torch.tensor([int(self.asked_to_stop)])
        torch.distributed.all_reduce(asked, torch.distributed.ReduceOp.MAX, group=self.control)
        return bool(asked.item())

    def _save(self, runner) -> None:
        # mmengine stores the iteration as done when it saves by iteration.
        runner.save_checkpoint(runner.work_dir, ".next.pth", by_epoch=False)
        if is_main_process():
            folder = Path(runner.work_dir)
            with open(folder / ".next.pth", "rb") as stream:
                os.fsync(stream.fileno())
            (folder / ".next.pth").replace(folder / SNAPSHOT)


@HOOKS.register_module()
class LossLog(Hook):
    """A progress bar for people and ``losses.jsonl`` for machines, one line an iteration.

    Comes before mmengine's own hooks, which would wait for the device once for every loss: it reads all of them at
    once, and leaves numbers for the others.
    """

    priority = "HIGHEST"

    def __init__(self, progress: bool = True) -> None:
        self.progress = progress

    def before_train(self, runner) -> None:
        self.path = Path(runner.work_dir) / "losses.jsonl"
        kept = self.path.read_text().splitlines()[: runner.iter] if runner.iter and self.path.exists() else []
        self.path.write_text("".join(line + "\n" for line in kept))
        self.bar = Progress(
            total=runner.max_iters, initial=runner.iter, desc="training", unit="step", disable=not self.progress
        )

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        values = torch.stack([value.detach().float().reshape(()) for value in outputs.values()]).tolist()
        losses = dict(zip(outputs, values, strict=True))
        outputs.update(losses)
        if not np.isfinite(losses["loss"]):
            raise FloatingPointError(f"the loss is {losses['loss']} at iteration {runner.iter + 1}")
        if is_main_process():
            with open(self.path, "a", encoding="utf-8") as stream:
                stream.write(json.dumps({"iteration": runner.iter + 1, **losses}) + "\n")
        self.bar.update()
        self.bar.set_postfix(loss=f"{losses['loss']:.3f}", refresh=False)

    def after_train(self, runner) -> None:
        self.bar.close()


@HOOKS.register_module()
class TestBar(Hook):
    """A progress bar over the test data."""

    def __init__(self, progress: bool = True) -> None:
        self.progress = progress

    def before_test(self, runner) -> None:
        batches = len(runner.test_dataloader)
        self.bar = Progress(total=batches, desc="test", unit="batch", disable=not self.progress)

    def after_test_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        self.bar.update()

    def after_test(self, runner) -> None:
        self.bar.close()


@TRANSFORMS.register_module()
class LoadWholeImage(BaseTransform):
    """Decodes ``img_path`` by the house's rules (:mod:`benchmarks.images`) as BGR uint8."""

    def transform(self, results: dict) -> dict:
        path = results["img_path"]
        pixels = np.ascontiguousarray(read_rgb(path)[:, :, ::-1])
        declared = results.get("height", pixels.shape[0]), results.get("width", pixels.shape[1])
        if pixels.shape[:2] != declared:
            raise InputError(
                f"{path} is {pixels.shape[1]}x{pixels.shape[0]}, its annotation says {declared[1]}x{declared[0]}"
            )
        results["img"] = pixels
        results["img_shape"] = results["ori_shape"] = pixels.shape[:2]
        return results
