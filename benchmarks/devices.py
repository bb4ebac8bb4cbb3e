"""The device a command was asked to use, checked before any work is done."""

from __future__ import annotations

import torch

from benchmarks.errors import InputError


def usable_device(name: str) -> torch.device:
    """The device called ``name`` (``cpu``, ``cuda``, ``cuda:1``); :class:`InputError` when torch cannot use it.

    ``auto`` is the first GPU where torch finds one.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"device {name!r} cannot be used here ({reason}): use --device cpu") from error
    return device
