"""The memory bank: labelled features, in memory or in a file, handed out block by block."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import torch

from benchmarks.errors import InputError
from benchmarks.files import atomic_path, read_json, write_json

DTYPES = {"fp32": torch.float32, "fp16": torch.float16}


class Bank(ABC):
    """Features ``[rows, D]`` with a class index each. They come out as fp32, whatever they are stored in."""

    labels: torch.Tensor
    width: int  # D

    def __len__(self) -> int:
        return len(self.labels)

    def blocks(self, rows: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Features fp32 ``[b, D]`` and labels ``[b]``, ``rows`` at a time, the last block with what is left."""
        for start in range(0, len(self), rows):
            labels = self.labels[start : start + rows]
            yield self._read(start, len(labels)).float(), labels

    def whole(self) -> torch.Tensor:
        """All features ``[rows, D]``, as they are stored."""
        return self._read(0, len(self))

    @abstractmethod
    def _read(self, start: int, rows: int) -> torch.Tensor:
        """The features ``[rows, D]`` from row ``start`` on."""


class MemoryBank(Bank):
    """A bank in a tensor."""

    def __init__(self, features: torch.Tensor, labels: torch.Tensor) -> None:
        self.features, self.labels, self.width = features, labels, features.shape[1]

    def _read(self, start: int, rows: int) -> torch.Tensor:
        return self.features[start : start + rows]


class DiskBank(Bank):
    """A bank in a file: at any time one block of its features is in memory.

    ``NAME.features`` holds the rows and nothing else, ``NAME.json`` their width and type, and
    ``NAME.labels.npy`` the labels. The JSON is written last: without it there is no bank.
    """

    def __init__(self, path: Path) -> None:
        about = read_json(path.with_suffix(".json"), "description of a feature bank")
        self.path, self.width, self.dtype = path, about["width"], DTYPES[about["dtype"]]
        self.labels = torch.from_numpy(np.load(path.with_suffix(".labels.npy")))
        expected = len(self.labels) * self.width * self.dtype.itemsize
        if path.stat().st_size != expected:
            raise InputError(f"{path} has {path.stat().st_size} bytes instead of {expected}: delete it")

    def _read(self, start: int, rows: int) -> torch.Tensor:
        # Read, not mapped: pages of a map would count as this process's memory until the system takes them back.
        size = self.width * self.dtype.itemsize
        buffer = bytearray(rows * size)
        with open(self.path, "rb", buffering=0) as stream:
            stream.seek(start * size)
            view = memoryview(buffer)
            while view and (count := stream.readinto(view)):
                view = view[count:]
        if view:
            raise InputError(f"{self.path} ended early while it was read: delete it and run again")
        return torch.frombuffer(buffer, dtype=self.dtype).view(rows, self.width)

    @staticmethod
    def exists(path: Path) -> bool:
        """Whether a whole bank is at ``path``."""
        return path.with_suffix(".json").is_file() and path.is_file()


class BankWriter:
    """Collects rows of ``width`` as they are extracted, into a tensor of ``capacity`` rows or into the file ``path``.

    A context manager; :meth:`bank` gives what was collected, after its end.
    """

    def __init__(self, capacity: int, width: int, dtype: str = "fp32", path: Path | None = None) -> None:
        self.width, self.dtype_name, self.path = width, dtype, path
        self.labels = [torch.empty(0, dtype=torch.long)]
        self.rows = 0
        self.files = ExitStack()
        # Of the final size at once: ImageNet's 7.5 GB should not be held twice.
        self.features = torch.empty(0 if path else capacity, width, dtype=DTYPES[dtype])

    def __enter__(self) -> BankWriter:
        if self.path:
            self.stream = self.files.enter_context(open(self.files.enter_context(atomic_path(self.path)), "wb"))
        return self

    def __exit__(self, *error) -> None:
        self.files.__exit__(*error)

    def append(self, features: torch.Tensor, labels: torch.Tensor) -> None:
        """Add features ``[n, D]`` and their labels ``[n]``, both on the CPU."""
        features = features.to(DTYPES[self.dtype_name]).contiguous()
        if self.path:
            self.stream.write(features.numpy().tobytes())
        else:
            self.features[self.rows : self.rows + len(features)] = features
        self.labels.append(labels)
        self.rows += len(features)

    def bank(self) -> Bank:
        """The bank of what was added."""
        labels = torch.cat(self.labels)
        if not self.path:
            return MemoryBank(self.features[: self.rows], labels)
        with atomic_path(self.path.with_suffix(".labels.npy")) as temporary:
            np.save(temporary, labels.numpy())
        write_json(self.path.with_suffix(".json"), {"width": self.width, "dtype": self.dtype_name})
        return DiskBank(self.path)
