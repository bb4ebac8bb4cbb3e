"""A pickle reader that runs nothing: tensors and plain containers are built, everything else becomes a stub.

A pickle is a program. What it can do is decided by the globals it may name; here it may name tensor and
array constructors of this module, ``OrderedDict`` and torch's storage and dtype names. Any other global is
noted and replaced by a class that stores what it is given.
"""

from __future__ import annotations

import io
import math
import pickle
import struct
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, BinaryIO, ClassVar

import numpy as np
import torch

#: torch's typed storage classes; a file names them, they are never touched.
STORAGE_DTYPES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128,
}
ARRAY_DTYPES = {"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "b1"}


class Inert:
    """Stands for an object of a foreign class: keeps the state it was saved with, does nothing."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        self.arguments = arguments

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __setitem__(self, key: Any, value: Any) -> None:  # foreign dict subclasses fill themselves
        self.__dict__.setdefault("items", []).append((key, value))

    def append(self, value: Any) -> None:  # foreign list subclasses do so too
        self.__dict__.setdefault("items", []).append((None, value))

    def extend(self, values: Any) -> None:
        for value in values:
            self.append(value)

    def __call__(self, *arguments: Any, **keywords: Any) -> Inert:
        return Inert(*arguments)


def facts_of(value: Any) -> dict[str, Any]:
    """What a dict, an ``argparse.Namespace`` or a foreign dict class was saved with, by name."""
    if isinstance(value, dict):
        return value
    if not isinstance(value, Inert):
        return {}
    state = getattr(value, "state", None)
    items = [(key, item) for key, item in getattr(value, "items", []) if isinstance(key, str)]
    return (state if isinstance(state, dict) else {}) | dict(items)


class Storage:
    """A storage as a file names it: where its bytes are is the opener's business."""

    def __init__(self, dtype: torch.dtype | None, data: torch.Tensor) -> None:
        self.dtype = dtype  # None: untyped
        self.data = data  # uint8, one-dimensional


class StorageType:
    """Stands for a torch storage class."""

    def __init__(self, dtype: torch.dtype | None) -> None:
        self.dtype = dtype


def build_tensor(storage: Storage, offset: int, size: tuple, stride: tuple, dtype: torch.dtype) -> torch.Tensor:
    """A view of a storage; :class:`ValueError` when it would reach beyond the bytes that the file has."""
    width = dtype.itemsize
    if not isinstance(storage, Storage) or len(size) != len(stride) or min((offset, *size, *stride), default=0) < 0:
        raise ValueError("a tensor with a broken description")
    reach = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True)) + 1 if math.prod(size) else 0
    if reach * width > storage.data.numel() or math.prod(size) * width > storage.data.numel():
        raise ValueError(f"a tensor of shape {list(size)} is larger than its stored values")
    values = storage.data[: storage.data.numel() // width * width].view(dtype)
    return values.as_strided(size, stride, values.storage_offset() + offset)  # offsets of as_strided are absolute


def rebuild_tensor(storage: Any, offset: int, size: tuple, stride: tuple, *_: Any) -> torch.Tensor:
    return build_tensor(storage, offset, size, stride, storage.dtype)


def rebuild_tensor_v3(
    storage: Storage, offset: int, size: tuple, stride: tuple, grad: bool, hooks: Any, dtype: torch.dtype, *_: Any
) -> torch.Tensor:
    return build_tensor(storage, offset, size, stride, dtype)


def rebuild_parameter(data: torch.Tensor, *_: Any) -> torch.Tensor:
    return data


class ArrayType(Inert):
    """Stands for ``numpy.dtype``: the letters it was made with, and the byte order that follows as its state."""

    def array(self, shape: tuple, data: bytes) -> torch.Tensor:
        letters = self.arguments[0] if self.arguments else ""
        state = getattr(self, "state", ())
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else "<"
        if letters not in ARRAY_DTYPES or order not in ("<", ">", "|", "="):
            raise ValueError(f"an array of type {letters!r}")
        values = np.frombuffer(data, np.dtype(("<" if order in "|=" else order) + letters))
        if values.size != math.prod(shape):
            raise ValueError(f"an array of shape {shape} with {values.size} values")
        return torch.from_numpy(values.astype(values.dtype.newbyteorder("="), copy=True).reshape(shape))


class Array(Inert):
    """Stands for a numpy array under construction; :meth:`value` is the tensor."""

    def __setstate__(self, state: Any) -> None:
        _, shape, kind, fortran, data = state
        if isinstance(data, str):
            data = data.encode("latin1")
        if not isinstance(kind, ArrayType) or not isinstance(data, bytes):
            raise ValueError("an array of objects")
        tensor = kind.array(tuple(reversed(shape)) if fortran else tuple(shape), data)
        self.value = tensor.permute(*reversed(range(tensor.ndim))) if fortran else tensor


def array_from_buffer(data: bytes, kind: Any, shape: tuple, order: str) -> Array:
    """``numpy._frombuffer``, with which protocol 5 writes arrays."""
    array = Array()
    array.__setstate__((1, shape, kind, order == "F", bytes(data)))
    return array


def _encode(text: str, codec: str = "latin1") -> bytes:
    """``_codecs.encode``, with which old protocols write bytes."""
    return text.encode("latin1")


BUILDERS: dict[tuple[str, str], Callable[..., Any] | StorageType] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor"): rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v2"): rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v3"): rebuild_tensor_v3,
    ("torch._utils", "_rebuild_parameter"): rebuild_parameter,
    ("torch._utils", "_rebuild_parameter_with_state"): rebuild_parameter,
    ("torch", "Size"): tuple,
    ("torch", "device"): Inert,
    ("torch.storage", "UntypedStorage"): StorageType(None),
    ("torch", "UntypedStorage"): StorageType(None),
}
#: Built here as well, but named in the report: a plain tensor file has no use for them.
ARRAY_BUILDERS: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): Array,
    ("numpy", "dtype"): ArrayType,
    ("_codecs", "encode"): _encode,
    ("numpy.core.multiarray", "_reconstruct"): Array,
    ("numpy._core.multiarray", "_reconstruct"): Array,
    ("numpy.core.numeric", "_frombuffer"): array_from_buffer,
    ("numpy._core.numeric", "_frombuffer"): array_from_buffer,
}


class InertUnpickler(pickle._Unpickler):
    """Reads one pickle; the foreign globals it names are added to ``found``.

    ``storage`` answers torch's persistent ids; without it they are an error. The base is the standard library's
    unpickler in Python: the one in C reserves memory for whatever index or length a damaged file names.
    """

    dispatch: ClassVar[dict[int, Any]] = dict(pickle._Unpickler.dispatch)
    read: Callable[[int], bytes]  # the base sets both while it loads
    append: Callable[[Any], None]

    def __init__(self, stream: BinaryIO, found: set[str], storage: Callable[[tuple], Storage] | None = None) -> None:
        super().__init__(stream, encoding="latin1")
        self.found, self.storage = found, storage

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in BUILDERS:
            return BUILDERS[module, name]
        if module == "torch" and name in STORAGE_DTYPES:
            return StorageType(STORAGE_DTYPES[name])
        if module == "torch" and isinstance(getattr(torch, name, None), torch.dtype):
            return getattr(torch, name)
        self.found.add(f"{module}.{name}")
        return ARRAY_BUILDERS.get((module, name)) or type(name, (Inert,), {})

    def load_bytearray8(self) -> None:
        (length,) = struct.unpack("<Q", self.read(8))
        data = self.read(min(length, 1 << 62))
        if len(data) != length:
            raise pickle.UnpicklingError("bytes that are cut short")
        self.append(bytearray(data))

    dispatch[pickle.BYTEARRAY8[0]] = load_bytearray8

    def persistent_load(self, pid: Any) -> Storage:
        if self.storage is None:
            raise pickle.UnpicklingError("a reference to something outside of the pickle")
        return self.storage(pid)


def load_inert(data: bytes, found: set[str], storage: Callable[[tuple], Storage] | None = None) -> Any:
    """Read the pickle in ``data``; arrays come out as tensors."""
    return _arrays_to_tensors(InertUnpickler(io.BytesIO(data), found, storage).load())


def _arrays_to_tensors(root: Any) -> Any:
    """Replace finished arrays inside dicts and lists, each container once: shared and cyclic ones end too."""
    if isinstance(root, Array):
        return getattr(root, "value", root)
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        holder = waiting.pop()
        if id(holder) in seen or not isinstance(holder, (dict, list)):
            continue
        seen.add(id(holder))
        for key, value in list(holder.items() if isinstance(holder, dict) else enumerate(holder)):
            if isinstance(value, Array):
                holder[key] = getattr(value, "value", value)
            else:
                waiting.append(value)
    return root
