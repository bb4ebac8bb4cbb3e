"""What all writers share: a set that is either whole or not there, and how pictures are stored."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.davis.predictions import voc_palette
from benchmarks.errors import InputError
from benchmarks.files import atomic_folder, read_json, write_json
from benchmarks.progress import Progress

#: Raise it when the renderer or a writer changes what it writes: old worlds are then not reused.
WORLD_VERSION = 3
MANIFEST = "shapes_world.json"

_JPEG_QUALITY = 90


def folder_hash(folder: Path) -> dict[str, Any]:
    """Number and SHA-256 of all files under ``folder`` (names and bytes), the manifest left out."""
    digest = hashlib.sha256()
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    for path in files:
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{path.relative_to(folder).as_posix()} {content}\n".encode())
    return {"files": len(files), "sha256": digest.hexdigest()}


def write_set(target: Path, parameters: dict[str, Any], fill: Callable[[Path], None]) -> Path:
    """Write one data set of the world into the folder ``target``, or reuse the one that is there.

    ``fill`` writes the files into a temporary folder beside ``target``, which is renamed when it is
    complete. A manifest keeps ``parameters`` and a hash of the files. A folder that was written with other
    parameters, was changed since, or is not of this world raises :class:`InputError`.
    """
    parameters = {"world_version": WORLD_VERSION, **parameters}
    if target.exists():
        _require_same(target, parameters)
        return target
    try:
        with atomic_folder(target) as folder:
            fill(folder)
            write_json(folder / MANIFEST, {"parameters": parameters, **folder_hash(folder)})
    except (FileExistsError, NotADirectoryError) as error:
        if not target.is_dir():
            raise InputError(f"{target.parent} is a file, not a folder: choose another --root") from error
        _require_same(target, parameters)  # another command has written it meanwhile
    return target


def _require_same(target: Path, parameters: dict[str, Any]) -> None:
    if not (target / MANIFEST).is_file():
        raise InputError(
            f"{target} exists and was not written by the shapes world (it has no {MANIFEST}): choose another --root"
        )
    manifest = read_json(target / MANIFEST, "manifest of the shapes world")
    if not isinstance(manifest, dict) or manifest.get("parameters") != parameters:
        raise InputError(
            f"{target} holds a shapes world with other parameters: delete that folder or choose another --root"
        )
    verify_world_set(target)


def verify_world_set(target: Path) -> dict[str, Any]:
    """The manifest of a written set; :class:`InputError` when its files are not those that were written."""
    manifest = read_json(target / MANIFEST, "manifest of the shapes world")
    if not isinstance(manifest, dict) or folder_hash(target) != {k: manifest.get(k) for k in ("files", "sha256")}:
        raise InputError(
            f"{target} is damaged: its files are not those of {MANIFEST}; delete that folder, write it anew"
        )
    return manifest


def save_jpeg(path: Path, image: np.ndarray, grey: bool = False) -> None:
    """Store uint8 [H, W, 3]; ``grey`` stores one channel, as some pictures of the real sets do."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(image)
    if grey:
        picture = picture.convert("L")
    picture.save(path, format="JPEG", quality=_JPEG_QUALITY)


def save_labels(path: Path, labels: np.ndarray, palette: bool = False) -> None:
    """Store uint8 [H, W] as a PNG whose pixels are the labels; ``palette`` adds the colours of VOC and DAVIS."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(labels)
    if palette:
        picture.putpalette(voc_palette().tobytes())
    picture.save(path, format="PNG")


def progress(items: Iterable, what: str) -> Iterable:
    """Show on standard error how far a loop is."""
    return Progress(items, desc=what, unit="", leave=False, dynamic_ncols=True)
