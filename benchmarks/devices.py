"""The device a command computes on: what was asked for, what there is, and why."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

import torch

from benchmarks.errors import InputError


def usable_device(name: str | torch.device = "auto") -> torch.device:
    """The device called ``name``: ``auto`` (a GPU where torch sees one, else the CPU), ``cpu``, ``cuda``, ``cuda:1``.

    :class:`InputError` when torch cannot use it.
    """
    try:
        device = torch.device(resolve(name))
        torch.empty(0, device=device)
        choose_precision()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"device {str(name)!r} cannot be used here ({reason}): use --device cpu") from error
    return device


def choose_precision() -> None:
    """What fp32 means on a GPU: IEEE's for convolutions and matrix products alike, or TF32 for both.

    torch's default is TF32's ten bits for the first and not for the second, so a figure would depend on which of them a
    network is made of. IEEE's is the suite's; ``FLSL_TF32=1`` takes TF32 for both. Half precision is not touched.
    """
    kind = "tf32" if tf32() else "ieee"
    cudnn: Any = torch.backends.cudnn  # torch's types lack these two
    cudnn.conv.fp32_precision = kind
    cudnn.rnn.fp32_precision = kind
    torch.backends.cuda.matmul.fp32_precision = kind


def tf32() -> bool:
    """Whether ``FLSL_TF32=1`` asks for TF32."""
    return os.environ.get("FLSL_TF32", "0") == "1"


def resolve(name: str | torch.device) -> str:
    """``name`` itself, or for ``auto`` what it stands for here: ``cuda`` or ``cpu``."""
    return ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else str(name)


def add_device_argument(parser: argparse.ArgumentParser) -> None:
    """``--device`` of every command that computes."""
    parser.add_argument(
        "--device", default="auto", help="auto (a GPU where there is one), cpu, cuda or cuda:N (default: %(default)s)"
    )


def explain(name: str | torch.device = "auto") -> str:
    """What ``name`` stands for here and why: ``cuda:0 NVIDIA H100``, ``cpu: torch 2.14.1+cu130 finds no GPU (...)``."""
    device = usable_device(name)
    if device.type == "cuda":
        return f"cuda:{device.index or 0} {torch.cuda.get_device_name(device)}{', TF32' if tf32() else ''}"
    return f"{device}: {'as asked for' if torch.cuda.is_available() else no_gpu()}"


def no_gpu() -> str:
    """Why torch finds no GPU here."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if hidden in ("", "-1"):
        return f"CUDA_VISIBLE_DEVICES is {hidden or 'empty'}"
    if torch.version.cuda is None and torch.version.hip is None:
        return f"torch {torch.__version__} is built without CUDA"
    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as error:  # of a driver that is too old, or none
        return f"torch {torch.__version__} finds no GPU ({str(error).splitlines()[0].split('. ')[0]})"
    return f"torch {torch.__version__} finds no GPU"


def hide_gpus() -> None:
    """From here on no GPU is seen, by this process and those that it starts. Before torch has looked for one."""
    os.environ["CUDA_VISIBLE_DEVICES"] = ""


_said: set[str] = set()


def say_device(name: str | torch.device = "auto") -> None:
    """Say on standard error, once in a process, what ``name`` stands for and why; of several processes the first does.

    Commands call this when their input is checked and the work begins.
    """
    say_once(f"device: {explain(name)}")


def say_once(line: str) -> None:
    """Print ``line`` on standard error unless this process has, or is not the first of its run."""
    if line not in _said and os.environ.get("RANK", "0") == "0":
        _said.add(line)
        print(line, file=sys.stderr, flush=True)
