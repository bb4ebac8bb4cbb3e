"""Semantic FPN on ADE20K for your checkpoints: mIoU, mean and pixel accuracy, per class, and pictures."""

from benchmarks.errors import run_command
from benchmarks.tables.commands import command

if __name__ == "__main__":
    run_command(command("ade20k").run)
