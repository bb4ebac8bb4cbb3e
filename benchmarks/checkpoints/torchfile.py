"""The two on-disk forms of ``torch.save``, read without ``torch.load``: values are mapped, not copied.

Reading them here and not with torch gives one rule for both forms and for bare pickles (:mod:`.inert`), and two
checks that torch leaves out: every storage must have exactly the bytes that its record has, and no tensor may
reach beyond its storage.
"""

from __future__ import annotations

import io
import os
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import torch

from benchmarks.checkpoints.inert import InertUnpickler, Storage, StorageType, load_inert

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001


class Window(io.RawIOBase):
    """A part of a file as a file of its own."""

    def __init__(self, stream: BinaryIO, start: int, length: int) -> None:
        self.stream, self.start, self.length, self.at = stream, start, length, 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self.at = max(offset + {os.SEEK_SET: 0, os.SEEK_CUR: self.at, os.SEEK_END: self.length}[whence], 0)
        return self.at

    def tell(self) -> int:
        return self.at

    def read(self, size: int = -1) -> bytes:
        left = max(self.length - self.at, 0)
        self.stream.seek(self.start + self.at)
        data = self.stream.read(left if size < 0 else min(size, left))
        self.at += len(data)
        return data


def read_zip(path: Path, found: set[str], mapped: torch.Tensor | None = None, start: int = 0) -> Any:
    """The object in a zip file of ``torch.save``; raises :class:`ValueError` and kin for broken ones.

    ``mapped`` and ``start``: the bytes of a part of the file, and where it starts, when the zip file is only that.
    """
    mapped = map_file(path) if mapped is None else mapped
    with open(path, "rb") as stream, zipfile.ZipFile(Window(stream, start, mapped.numel())) as archive:
        members = {member.filename: member for member in archive.infolist()}
        pickles = [name for name in members if name.endswith("data.pkl") and name.count("/") <= 1]
        if len(pickles) != 1:
            raise ValueError("an archive without data.pkl")
        root = pickles[0].removesuffix("data.pkl")
        if any(member.compress_type != zipfile.ZIP_STORED for member in members.values()):
            raise ValueError("a compressed archive; torch writes none")
        order = members.get(f"{root}byteorder")
        if order is not None and archive.read(order) != b"little":
            raise ValueError("values in big-endian order")
        program = archive.read(pickles[0])
    storages: dict[str, Storage] = {}

    def storage(pid: Any) -> Storage:
        dtype, key, count = _persistent(pid)
        if key not in storages:
            member = members.get(f"{root}data/{key}")
            if member is None:
                raise ValueError(f"values {key!r} are missing")
            width = dtype.itemsize if dtype else 1
            if member.file_size != count * width:
                raise ValueError(f"values {key!r} have {member.file_size} bytes, not {count * width}")
            storages[key] = Storage(dtype, _aligned(mapped, _data_offset(mapped, member), count * width))
        return storages[key]

    return load_inert(program, found, storage)


def read_legacy(path: Path, found: set[str]) -> Any:
    """The object in a file of ``torch.save`` before version 1.6: pickles in a row, then the raw storages."""
    storages: dict[str, tuple[Storage, int]] = {}

    def storage(pid: Any) -> Storage:
        dtype, key, count = _persistent(pid)
        if key not in storages:
            width = dtype.itemsize if dtype else 1
            if count * width > size:
                raise ValueError(f"values {key!r} are longer than the file")
            storages[key] = Storage(dtype, torch.empty(count * width, dtype=torch.uint8)), width
        return storages[key][0]

    size = path.stat().st_size
    with open(path, "rb") as stream:
        if InertUnpickler(stream, found).load() != LEGACY_MAGIC:
            raise ValueError("no torch file")
        if InertUnpickler(stream, found).load() != LEGACY_PROTOCOL:
            raise ValueError("an unknown protocol")
        system = InertUnpickler(stream, found).load()
        if not isinstance(system, dict) or system.get("little_endian") is not True:
            raise ValueError("values in big-endian order")
        content = InertUnpickler(stream, found, storage).load()
        keys = InertUnpickler(stream, found).load()
        if not isinstance(keys, list) or set(keys) != set(storages):
            raise ValueError("a list of values that does not fit")
        for key in keys:
            values, width = storages[key]
            (count,) = struct.unpack("<q", stream.read(8))
            if count * width != values.data.numel() or stream.readinto(values.data.numpy().data) != count * width:
                raise ValueError(f"values {key!r} are cut short")
    return content


def is_legacy(path: Path) -> bool:
    """Whether a pickle file starts with the magic number of ``torch.save``."""
    with open(path, "rb") as stream:
        try:
            return InertUnpickler(stream, set()).load() == LEGACY_MAGIC
        except Exception:  # a broken pickle raises anything
            return False


def map_file(path: Path) -> torch.Tensor:
    """The bytes of a file, mapped privately: read when touched, never written back."""
    size = path.stat().st_size
    storage = torch.UntypedStorage.from_file(str(path), shared=False, nbytes=size)
    # The stubs promise less than the UntypedStorage that from_file gives.
    return torch.empty(0, dtype=torch.uint8).set_(storage, 0, (size,), (1,))  # type: ignore[arg-type]


def _aligned(mapped: torch.Tensor, offset: int, length: int) -> torch.Tensor:
    if offset + length > mapped.numel():
        raise ValueError("values beyond the end of the file")
    part = mapped[offset : offset + length]
    return part if part.data_ptr() % 16 == 0 else part.clone()


def _data_offset(mapped: torch.Tensor, member: zipfile.ZipInfo) -> int:
    """Where a member's bytes start: behind its local header, whose name and extra field have their own lengths."""
    header = bytes(mapped[member.header_offset : member.header_offset + 30].tolist())
    if len(header) != 30 or header[:4] != b"PK\x03\x04":
        raise ValueError(f"{member.filename} has no header")
    name, extra = struct.unpack("<HH", header[26:30])
    return member.header_offset + 30 + name + extra


def _persistent(pid: Any) -> tuple[torch.dtype | None, str, int]:
    """Element type (None: bytes), name and element count of a storage that a pickle refers to."""
    if not isinstance(pid, tuple) or len(pid) < 5 or pid[0] != "storage" or not isinstance(pid[1], StorageType):
        raise pickle.UnpicklingError("a reference that is no storage")
    if len(pid) > 5 and pid[5] is not None:
        raise pickle.UnpicklingError("a view of a storage, as torch 0.3 wrote it")
    _, kind, key, _, count = pid[:5]
    if not isinstance(count, int) or count < 0 or not isinstance(key, str):
        raise pickle.UnpicklingError("a storage with a broken description")
    return kind.dtype, key, count
