"""Counts the times a host would wait for its device, without one: tensors that pretend to be elsewhere.

Such a tensor says that it is on the ``meta`` device and holds a CPU tensor, which computes. Whatever needs its content
on the host goes through the dispatcher, where it is counted: ``item``, ``tolist``, ``bool``, copies to the host, copies
to the device that do not say ``non_blocking``, and operators whose result has a size that depends on content (masks).
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

DEVICE = torch.device("meta")
READS = ("_local_scalar_dense", "nonzero", "masked_select", "_unique2", "unique_dim", "equal", "is_nonzero")


class Away(torch.Tensor):
    """A tensor that is ``held`` in the host's memory and says that it is on :data:`DEVICE`."""

    @staticmethod
    def __new__(cls, held: torch.Tensor):
        return torch.Tensor._make_wrapper_subclass(
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=DEVICE,
            requires_grad=held.requires_grad,
        )

    def __init__(self, held: torch.Tensor) -> None:
        self.held = held

    def __repr__(self) -> str:
        return f"Away({tuple(self.shape)})"

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        raise RuntimeError("outside of Waits")


def away(value: torch.Tensor) -> torch.Tensor:
    return value if isinstance(value, Away) else Away(value)


class Waits(TorchDispatchMode):
    """Runs everything on the CPU and counts, by operator, in ``counts``."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        name = function._schema.name.split("::")[1]
        flat, _ = torch.utils._pytree.tree_flatten((args, kwargs))
        here = any(isinstance(x, Away) for x in flat)
        asked = kwargs.get("device")
        there = here if asked is None else torch.device(asked) == DEVICE
        if asked is not None:
            kwargs["device"] = torch.device("cpu")
        moved = name in ("_to_copy", "to") and here != there
        masked = name.startswith("index") and any(
            x is not None and torch.is_tensor(x) and x.dtype in (torch.bool, torch.uint8) for x in _indices(args)
        )
        if (here and (name in READS or masked)) or (moved and not kwargs.get("non_blocking")):
            self.counts[name] += 1
        if name == "copy_" and isinstance(args[0], Away) != isinstance(args[1], Away):
            self.counts[name] += not (kwargs.get("non_blocking") or (len(args) > 2 and args[2]))
        own_args, own_kwargs = tree_map_only(Away, lambda x: x.held, (args, kwargs))
        if name == "_fused_sdp_choice":
            return 0  # the plain formula: fused kernels are chosen by device
        out = function(*own_args, **own_kwargs)
        if name.endswith("_") and here and isinstance(args[0], Away):
            return args[0]
        if function._schema.name.startswith("aten::_foreach") and out is None:
            return None
        if "out" in kwargs:
            return kwargs["out"]
        return tree_map_only(torch.Tensor, away, out) if there else out


def _indices(args) -> tuple:
    return tuple(args[1]) if len(args) > 1 and isinstance(args[1], (list, tuple)) else ()


class Python(TorchFunctionMode):
    """What the dispatcher does not see: ``torch.tensor(..., device=...)``, ``new_tensor``, ``tolist``, ``numpy``."""

    def __init__(self, waits: Waits) -> None:
        super().__init__()
        self.waits = waits

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        name = getattr(function, "__name__", "")
        if name == "tensor" and kwargs.get("device") is not None and torch.device(kwargs["device"]) == DEVICE:
            self.waits.counts["tensor"] += 1
            return Away(torch.tensor(*args, **kwargs | {"device": "cpu"}))
        if name == "new_tensor" and isinstance(args[0], Away):
            self.waits.counts["new_tensor"] += 1
            return Away(torch.tensor(args[1], dtype=kwargs.get("dtype", args[0].dtype)))
        if name in ("tolist", "numpy") and isinstance(args[0], Away):
            self.waits.counts[name] += 1
            return function(args[0].held.detach(), *args[1:], **kwargs)
        return function(*args, **kwargs)


@contextlib.contextmanager
def counted_waits() -> Iterator[Counter[str]]:
    """Waits inside, by operator; tensors get there by ``.to(DEVICE)``, modules by :func:`move`."""
    waits = Waits()
    with Python(waits), waits:
        yield waits.counts


def move(module: torch.nn.Module) -> torch.nn.Module:
    """``module`` with its parameters and buffers on :data:`DEVICE`."""
    for part in module.modules():
        for name, value in list(part._parameters.items()):
            if value is not None:
                part._parameters[name] = torch.nn.Parameter(Away(value.detach()), value.requires_grad)
        for name, value in list(part._buffers.items()):
            if value is not None:
                part._buffers[name] = Away(value)
    return module
