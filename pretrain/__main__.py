"""``python -m pretrain CONFIG.yaml [section.key=value ...]``; under ``torchrun`` the same, in every process."""

from __future__ import annotations

import sys

import torch.distributed as dist

from benchmarks.errors import InputError, command_parser, run_command
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
    config = load_config(arguments.config, arguments.overrides)
    if arguments.layout == "official" and config.objective.kind != "flsl":
        raise InputError("--layout official is FLSL's: objective.kind=dino has the published DINO's layout as it is")
    try:
        trainer = Trainer(config)
        path = trainer.run()
        if trainer.processes.first:
            exported = [
                p for p in (path.with_name("teacher.safetensors"), path.with_name("student.safetensors")) if p.exists()
            ]
            print(f"{path}: {trainer.step} steps" + "".join(f"; {p}" for p in exported))
            if arguments.layout == "official":
                export_official(path.with_name("official.pth"), load_snapshot(path))
                print(f"{path.with_name('official.pth')}: for the published programs; open it only if you trust it")
    except Stopped as stop:
        if trainer.processes.first:
            print(stop, file=sys.stderr)
        return stop.code
    except TrainingFailed as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:  # a disk that fills up under the log, a folder that goes away
        print(f"error: {error}; snapshots in run.out are whole: the same command goes on", file=sys.stderr)
        return 1
    finally:
        if dist.is_available() and dist.is_initialized():
            dist.destroy_process_group()
    return 0


if __name__ == "__main__":
    run_command(main)
