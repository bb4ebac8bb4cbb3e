"""Features of images as files: pictures in, the model's own transform, maps of one or several layers out."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.numpy import save_file

from benchmarks.core.model import Model
from benchmarks.errors import InputError
from benchmarks.files import atomic_path, require_file
from benchmarks.images import read_rgb
from benchmarks.listing import IMAGE_SUFFIXES, list_images

OUTPUTS = (".npy", ".npz", ".safetensors")


def find_pictures(source: str | os.PathLike[str]) -> dict[str, Path] | None:
    """Pictures by name: those of a folder, those that a .txt names line by line, or one; None for another file."""
    path = Path(source)
    if path.is_dir():
        names = list_images(path)
        if not names:
            raise InputError(f"{path} holds no images: give a folder of images, a .txt that lists them, or a .npy")
        return {name: path / name for name in names}
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return {path.name: require_file(path, "image")}
    if path.suffix != ".txt":
        return None
    lines = [line.strip() for line in require_file(path, "list of images").read_text(encoding="utf-8").splitlines()]
    names = [line for line in lines if line]
    twice = {name for name in names if names.count(name) > 1} if len(names) < 10_000 else set()
    found = {name: path.parent / name for name in names}
    missing = [name for name, file in found.items() if not file.is_file()]
    if not names or missing or twice:
        what = f"{len(missing)} of {len(names)} images are missing, first {missing[0]}" if missing else "no images"
        what = what if missing or not names else f"{sorted(twice)[0]} is listed twice"
        raise InputError(f"{path}: {what}: one path a line, relative to the list")
    return found


def image_grid(model: Model, height: int, width: int, size: Sequence[int] | None) -> tuple[int, int]:
    """Pixels (rows, columns) that an image is resized to: whole tokens, its shape kept where ``size`` is one number.

    ``size``: the shorter side, or rows and columns; None: the side that the network was trained with.
    """
    architecture: Any = model.card.architecture
    trained = architecture.image_size if isinstance(architecture.image_size, tuple) else (architecture.image_size,) * 2
    multiple = getattr(architecture, "multiple", architecture.patch_size)
    if getattr(architecture, "fixed_size", False):
        if size is not None and tuple(size) not in (trained, trained[:1]):
            raise InputError(f"--size {' '.join(map(str, size))}: this network takes {trained[0]}x{trained[1]} alone")
        return trained
    if size is not None and len(size) == 2:
        if any(side < 1 or side % multiple for side in size):
            raise InputError(f"--size {size[0]} {size[1]}: both must be multiples of {multiple} pixels")
        return size[0], size[1]
    short = size[0] if size else min(trained)
    if short < multiple:
        raise InputError(f"--size {short}: at least {multiple} pixels, the side of a token, are needed")
    scale = short / min(height, width)
    rows, columns = (max(round(side * scale / multiple), 1) * multiple for side in (height, width))
    return rows, columns


def load_picture(model: Model, path: Path, size: Sequence[int] | None) -> torch.Tensor:
    """An image -> fp32 ``[3, H, W]``: decoded, resized (bicubic, antialiased), normalised as the card says."""
    pixels = read_rgb(path)
    rows, columns = image_grid(model, pixels.shape[0], pixels.shape[1], size)
    resized = Image.fromarray(pixels).resize((columns, rows), Image.Resampling.BICUBIC)
    return model.normalise(np.asarray(resized))


def check_layers(model: Model, layers: Sequence[int] | None) -> None:
    """:class:`InputError` for a block that the network does not have."""
    depth = len(getattr(model.module, "blocks", ()))
    if layers is None:
        return
    if not depth:
        raise InputError("--layers: this network has no blocks to choose from: leave it out")
    if wrong := [layer for layer in layers if not -depth <= layer < depth]:
        raise InputError(f"--layers {wrong[0]}: the network has {depth} blocks, 0 to {depth - 1}")


def features_of(
    model: Model,
    pictures: dict[str, Path],
    size: Sequence[int] | None = None,
    layers: Sequence[int] | None = None,
    device: torch.device | str = "cpu",
) -> Iterator[tuple[str, np.ndarray]]:
    """Name and features fp32 of each picture: ``[h, w, D]``, or ``[L, h, w, D]`` with ``layers``."""
    for name, path in pictures.items():
        image = load_picture(model, path, size)[None].to(device)
        maps = [found[0].float().cpu().numpy() for found in model.features(image, layers)]
        yield name, maps[0] if layers is None else np.stack(maps)


def write_features(out: str | os.PathLike[str], features: Iterable[tuple[str, np.ndarray]], model: Model) -> int:
    """Write features by name and return how many.

    ``.npz``: one array a picture, written as they come. ``.safetensors``: the same, with the card in its metadata.
    ``.npy``: ``[B, N, D]`` fp32, where all pictures have the same grid.
    """
    path = Path(out)
    if path.suffix == ".npz":
        number = 0
        with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
            for number, (name, array) in enumerate(features, 1):  # noqa: B007 (counts)
                with archive.open(f"{name}.npy", "w", force_zip64=True) as stream:
                    np.lib.format.write_array(stream, array, allow_pickle=False)
        return number
    arrays = dict(features)
    if path.suffix == ".safetensors":
        with atomic_path(path) as temporary:
            card = json.dumps(model.card.to_dict(), sort_keys=True)
            contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
            save_file(contiguous, temporary, {"card": card, "names": json.dumps(list(arrays))})
        return len(arrays)
    shapes = {array.shape for array in arrays.values()}
    if len(shapes) != 1 or len(next(iter(shapes))) != 3:
        raise InputError(
            f"{path}: a .npy holds one array [B, N, D], and these are {len(shapes)} shapes of "
            f"{len(next(iter(shapes)))} axes: write NAME.npz or NAME.safetensors, or give --size H W"
        )
    with atomic_path(path) as temporary:
        np.save(temporary, np.stack([array.reshape(-1, array.shape[-1]) for array in arrays.values()]))
    return len(arrays)
