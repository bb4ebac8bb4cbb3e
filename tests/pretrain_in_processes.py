"""Started by ``torchrun`` from ``test_pretrain_run.py``: gradients of a few steps, written by the first process.

torchrun --nproc_per_node=N tests/pretrain_in_processes.py CONFIG.yaml OUT.pth section.key=value ...
"""

from __future__ import annotations

import sys

import torch
import torch.distributed as dist

from pretrain.ahead import Ahead
from pretrain.config import load_config
from pretrain.data import steps_of
from pretrain.distributed import mean_over_processes
from pretrain.trainer import Trainer

VARIANTS = {
    "volume": (),
    "sinkhorn": ("objective.sinkhorn=true",),
    "centring": ("objective.centering=true", "objective.volume_term=false"),
    "parts": ("run.accumulate=2",),
    "in place": ("objective.projected_epochs=9",),
}


def main() -> None:
    config, out, *overrides = sys.argv[1:]
    found = {}
    for name, options in VARIANTS.items():
        values = [*overrides, *options, f"run.out={out}-{name}"]
        if name == "parts":
            batch = next(int(v.split("=")[1]) for v in values if v.startswith("run.batch="))
            values.append(f"run.batch={batch // 2}")
        trainer = Trainer(load_config(config, values))
        if trainer.work.objective.center is not None:
            trainer.work.objective.center.add_(torch.linspace(-0.1, 0.1, trainer.work.objective.center.numel()))
        parts = Ahead(steps_of(trainer.loader, 0, trainer.schedule.steps), trainer.device).take().parts
        weights = [part.query_count for part in parts]
        mean = trainer.processes.sum(sum(weights))[0] / trainer.world
        losses, statistics = trainer.work.backward(parts, trainer.schedule.at(0), [w / mean for w in weights])
        found[name] = {
            "losses": mean_over_processes(torch.stack(losses)),
            "assignment": statistics.assignment,
            "gradients": {n: p.grad for n, p in trainer.work.student.named_parameters() if p.grad is not None},
        }
    if trainer.processes.first:
        torch.save(found, out)
    if dist.is_initialized():
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
