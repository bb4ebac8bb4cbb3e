"""``python -m pretrain CONFIG.yaml [section.key=value ...]``; under ``torchrun`` the same, in every process."""

from __future__ import annotations

import torch.distributed as dist

from benchmarks.errors import command_parser, run_command
from pretrain.config import load_config
from pretrain.trainer import Trainer


def main() -> int:
    parser = command_parser(
        "Pretrain a ViT with FLSL. A run that finds its own snapshot in run.out goes on from there.",
        "python -m pretrain pretrain/configs/vit_small_16.yaml data.root=imagenet/train run.out=runs/flsl_s16",
    )
    parser.add_argument("config", help="YAML file, for instance pretrain/configs/mini.yaml")
    parser.add_argument("overrides", nargs="*", metavar="section.key=value", help="values that replace the file's")
    arguments = parser.parse_args()
    trainer = Trainer(load_config(arguments.config, arguments.overrides))
    path = trainer.run()
    if trainer.rank == 0:
        print(f"{path}: {trainer.step} steps; convert it with: python tools/convert.py {path} --out NAME.safetensors")
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()
    return 0


if __name__ == "__main__":
    run_command(main)
