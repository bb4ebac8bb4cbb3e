"""Files that are no checkpoint of PyTorch, or no weights alone: what each is called, and the way out of it."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from benchmarks.checkpoints.inert import Inert
from benchmarks.errors import InputError

TO_STATE_DICT = "load it in the program that wrote it, and save model.state_dict() with torch.save"
TO_SAFETENSORS = "its hub page mostly has a model.safetensors: give that folder or file"
LOOK_FOR_TORCH = "look for PyTorch weights of the model"
#: How a file starts -> what it is, and what to do.
STARTS: tuple[tuple[bytes, str, str], ...] = (
    (
        b"version https://git-lfs",
        "a Git LFS pointer, not the weights",
        "run `git lfs pull` where it was cloned, or download it",
    ),
    (
        b"\x89HDF\r\n\x1a\n",
        "an HDF5 file (Keras)",
        "the weights are TensorFlow's: look for PyTorch weights of the model",
    ),
    (b"GGUF", "a GGUF file (llama.cpp)", "its weights are quantised for another program: take the original ones"),
    (b"\x1f\x8b", "a gzip archive", "unpack it and give the file inside"),
    (b"BZh", "a bzip2 archive", "unpack it and give the file inside"),
    (b"\xfd7zXZ", "an xz archive", "unpack it and give the file inside"),
    (b"7z\xbc\xaf", "a 7z archive", "unpack it and give the file inside"),
    (b"(\xb5/\xfd", "a zstandard archive", "unpack it and give the file inside"),
    (b"Rar!", "a rar archive", "unpack it and give the file inside"),
    (b"\x93NUMPY", "a single NumPy array", "give the checkpoint that it was taken from"),
    (b"%PDF", "a PDF document", "download the weights again"),
    (b"\x7fELF", "a program", "give a checkpoint"),
)
HTML = re.compile(rb"\s*(?:\xef\xbb\xbf)?\s*<(?:!doctype|html|head|\?xml|error)", re.IGNORECASE)
LORA = re.compile(r"(?:^|.*[._])lora_(?:A|B|down|up|embedding)|.*\.hada_w\d")
QUANTISED = re.compile(
    r".*\.(?:qweight|qzeros|g_idx|SCB|absmax|quant_map|quant_state\..*|weight_format|weight_scale|weight_scale_inv"
    r"|_packed_params.*|zero_point)$"
)
QUANTISED_TYPES = (
    "torch._utils._rebuild_qtensor",
    "torch._utils._rebuild_wrapper_subclass",
    "torchao.",
    "bitsandbytes.",
)
VIDEO = re.compile(r"(?:^|.*\.)(?:patch_embed\w*|patch_embeddings)\.(?:proj|projection)\.weight$")


def refuse_bytes(path: Path, start: bytes) -> None:
    """:class:`InputError` when the first bytes of a file are those of another format."""
    for mark, what, way in STARTS:
        if start.startswith(mark):
            raise InputError(f"{path} is {what}: {way}")
    if HTML.match(start):
        raise InputError(
            f"{path} is a web page (HTML), saved in place of the weights: the link needs a login, a confirmation or "
            "has moved; open it in a browser and download the file itself"
        )
    if start[257:262] == b"ustar":
        raise InputError(f"{path} is a tar archive: unpack it and give the file inside")
    if start[4:8] == b"TFL3":
        raise InputError(f"{path} is a TensorFlow Lite model: {LOOK_FOR_TORCH}")
    if _is_onnx(path, start):
        raise InputError(f"{path} is an ONNX model, a graph: take the weights that it was made from")
    if path.suffix in (".msgpack", ".flax"):
        raise InputError(f"{path} is a file of Flax (msgpack), whose layout is not read: {TO_SAFETENSORS}")
    if path.name.endswith((".index", ".pb", ".tflite")) or ".data-0000" in path.name:
        raise InputError(f"{path} is a file of TensorFlow: {LOOK_FOR_TORCH}")
    if not start[:512].strip(b"\t\n\r\x20") or _is_text(start):
        raise InputError(f"{path} is no checkpoint but {'text' if start.strip() else 'blank'}: check the path")


def refuse_zip(path: Path) -> None:
    """:class:`InputError` when a zip archive is another format's."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, LookupError):
        return  # a cut one says so where it is read
    inner = {name.partition("/")[2] for name in names}
    if "constants.pkl" in inner or any(name.startswith("code/") for name in inner):
        raise InputError(
            f"{path} is a TorchScript archive, a program with weights: what it computes is not read; look for the "
            "state dict beside it, or take torch.jit.load(path).state_dict() and save that"
        )
    if names and all(name.endswith(".npy") for name in names):
        flax = any(re.search(r"Transformer/|encoderblock|/kernel\.npy|params/", name) for name in names)
        kind = (
            "a NumPy archive of Flax (as Google's big_vision and vision_transformer write)"
            if flax
            else "a NumPy archive"
        )
        raise InputError(
            f"{path} is {kind}, whose layout is not read: take timm's conversion (timm:NAME) of that model"
        )
    if any(name.endswith((".weights.h5", "keras_metadata.pb", "saved_model.pb")) for name in names):
        raise InputError(f"{path} is a Keras model: {LOOK_FOR_TORCH}")
    if names and not any(name.endswith(".pkl") for name in names):
        files = ", ".join(names[:3])
        raise InputError(
            f"{path} is a zip archive of other files ({files} ...): unpack it and give the checkpoint inside"
        )


def refuse_content(content: Any, foreign_globals: tuple[str, ...]) -> None:
    """:class:`InputError` when what was read has no weights that a network here could hold, and it is known why."""
    module = _module_in(content)
    if module:
        raise InputError(
            f"it holds a whole pickled module ({module}), which only its program can open: {TO_STATE_DICT}"
        )
    if not isinstance(content, dict):
        raise InputError(f"it holds a {type(content).__name__}, not a dict of tensors")
    tensors = dict(_tensors(content))
    if any(LORA.match(name) for name in tensors):
        raise InputError(
            "it is a LoRA adapter, a change to weights that are not here: merge it into its base, save that"
        )
    quantised = next((name for name in tensors if QUANTISED.match(name)), None)
    quantised = quantised or next((g for g in foreign_globals if g.startswith(QUANTISED_TYPES)), None)
    if quantised or any(str(t.dtype).startswith(("torch.float8", "torch.q")) for t in tensors.values()):
        raise InputError(f"its weights are quantised ({quantised or 'float8'}): take the original ones, fp32 to bf16")
    for name, tensor in tensors.items():
        if VIDEO.match(name) and tensor.ndim == 5:
            frames = tensor.shape[2]
            raise InputError(
                f"it is a video network (VideoMAE, V-JEPA ...): {name} has shape {list(tensor.shape)}, patches of "
                f"{frames} frame{'s' * (frames != 1)}; the networks here take single images"
            )
    if not any(_is_weight(name) for name in tensors) and _is_optimizer(content):
        raise InputError("it is the state of an optimizer alone, without weights: give the model's file of that run")


def _module_in(content: Any) -> str | None:
    """The class of a pickled ``nn.Module``, alone or as an entry of a file without weights."""
    holders = [content, *content.values()] if isinstance(content, dict) else [content]
    if isinstance(content, dict) and any(_is_weight(name) for name, _ in _tensors(content)):
        return None
    for holder in holders:
        state = getattr(holder, "state", None)
        if isinstance(holder, Inert) and isinstance(state, Mapping) and {"_modules", "_parameters"} <= state.keys():
            return type(holder).__name__
    return None


def _tensors(content: Mapping) -> list[tuple[str, torch.Tensor]]:
    found, waiting, seen = [], [("", content)], set()
    while waiting:
        prefix, holder = waiting.pop()
        if id(holder) in seen:
            continue
        seen.add(id(holder))
        for key, value in holder.items():
            if isinstance(value, torch.Tensor):
                found.append((f"{prefix}{key}", value))
            elif isinstance(value, dict):
                waiting.append((f"{prefix}{key}.", value))
    return found


def _is_weight(name: str) -> bool:
    return name.endswith((".weight", ".bias", "_token", "pos_embed", "in_proj_weight"))


def _is_optimizer(content: Mapping) -> bool:
    holders = [content, *(value for value in content.values() if isinstance(value, dict))]
    return any("param_groups" in holder and "state" in holder for holder in holders)


def _is_onnx(path: Path, start: bytes) -> bool:
    """A ModelProto: field 1 (the version of the format) is a small number, then names of a producer follow."""
    if path.suffix == ".onnx":
        return True
    head = start[:200].lower()
    return (
        start[:1] == b"\x08"
        and start[1:2] < b"\x20"
        and any(name in head for name in (b"pytorch", b"onnx", b"tf2onnx"))
    )


def _is_text(start: bytes) -> bool:
    try:
        text = start[:512].decode()
    except UnicodeDecodeError:
        return False
    return len(text) >= 4 and all(c.isprintable() or c.isspace() for c in text) and not text.startswith("PK")
