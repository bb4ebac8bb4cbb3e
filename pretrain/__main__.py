"""``python -m pretrain CONFIG.yaml [section.key=value ...]``; under ``torchrun`` the same, in every process."""

from __future__ import annotations

import sys

import torch.distributed as dist

from benchmarks.errors import command_parser, run_command
from pretrain.config import load_config
from pretrain.export import export_official
from pretrain.failure import Stopped, TrainingFailed
from pretrain.snapshot import load_snapshot
from pretrain.trainer import Trainer


def main() -> int:
    parser = command_parser(
        "Pretrain a ViT with FLSL. A run that finds its own snapshot in run.out goes on from there.",
        "python -m pretrain pretrain/configs/vit_small_16.yaml data.root=imagenet/train run.out=runs/flsl_s16",
    )
    parser.add_argument("config", help="YAML file, for instance pretrain/configs/mini.yaml")
    parser.add_argument("overrides", nargs="*", metavar="section.key=value", help="values that replace the file's")
    parser.add_argument(
        "--layout",
        choices=("canonical", "official"),
        default="canonical",
        help="official: also write official.pth, which the published code's programs read (default: %(default)s)",
    )
    arguments = parser.parse_intermixed_args()
    try:
        trainer = Trainer(load_config(arguments.config, arguments.overrides))
        path = trainer.run()
        if trainer.processes.first:
            print(f"{path}: {trainer.step} steps; canonical checkpoint: {path.with_name('teacher.safetensors')}")
            if arguments.layout == "official":
                export_official(path.with_name("official.pth"), load_snapshot(path))
                print(f"{path.with_name('official.pth')}: for the published programs; open it only if you trust it")
    except (TrainingFailed, Stopped) as error:
        print(f"{'error: ' if isinstance(error, TrainingFailed) else ''}{error}", file=sys.stderr)
        return error.code if isinstance(error, Stopped) else 1
    finally:
        if dist.is_available() and dist.is_initialized():
            dist.destroy_process_group()
    return 0


if __name__ == "__main__":
    run_command(main)
