"""The next step's batches, moved to the device and augmented there while this step still computes.

On a GPU that happens in a stream of its own: the trainer asks for it when a step's kernels are queued, so the host
queues the next views in the time in which it would wait for the step.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

import torch

from pretrain.data import Batch, Loaded


class Prepared(NamedTuple):
    """What a step is made of: its parts on the device, and the files that could not be decoded, with reasons."""

    parts: list[Batch]
    broken: dict[str, str]


class Ahead:
    """Takes steps from ``loaded`` (the pieces of one step each) in order; :meth:`prepare` may run one step ahead.

    What comes out is the same whether and when :meth:`prepare` is called.
    """

    def __init__(self, loaded: Iterator[list[Loaded]], device: torch.device) -> None:
        self.loaded, self.device = loaded, device
        self.stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._next: Prepared | None = None

    def prepare(self) -> None:
        """Have the next step's batches made, unless they are; does not wait for the device."""
        if self._next is not None or (pieces := next(self.loaded, None)) is None:
            return
        broken = {name: reason for piece in pieces for name, reason in piece.broken.items()}
        batches = [piece.batch for piece in pieces if piece.batch is not None]
        with contextlib.nullcontext() if self.stream is None else torch.cuda.stream(self.stream):
            self._next = Prepared([batch.to(self.device) for batch in batches], broken)

    def take(self) -> Prepared | None:
        """The next step, or None after the last; what is queued from here on in this stream comes after its making."""
        self.prepare()
        taken, self._next = self._next, None
        if taken is not None and self.stream is not None:
            current = torch.cuda.current_stream(self.device)
            current.wait_stream(self.stream)
            for batch in taken.parts:
                for tensor in batch.tensors():
                    if tensor.is_cuda:
                        tensor.record_stream(current)  # its memory is not used again before this stream has done
        return taken
