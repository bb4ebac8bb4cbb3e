"""Patch features of images or inputs: tokens of the last block, or of others, after the model's final norm."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from benchmarks.backbones import load_backbone
from benchmarks.checkpoints.card import ResNetArchitecture
from benchmarks.core.model import DenseFeatures, Model
from benchmarks.devices import add_device_argument, say_device, usable_device
from benchmarks.errors import InputError, command_parser, run_command
from benchmarks.extraction import OUTPUTS, check_layers, features_of, find_pictures, write_features
from benchmarks.files import atomic_path, require_file
from benchmarks.progress import Progress

BATCH = 16


def read_inputs(path: str | Path, architecture: Any) -> np.ndarray:
    """float32 ``[B, 3, H, W]`` from a .npy file, finite, with sides that a ViT's patch size divides."""
    path = require_file(path, "inputs file")
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise InputError(f"{path} is not a .npy array ({error}): save it with numpy.save") from error
    if not isinstance(array, np.ndarray) or array.dtype != np.float32 or array.ndim != 4 or array.shape[1] != 3:
        found = f"{array.dtype} {list(array.shape)}" if isinstance(array, np.ndarray) else "an archive"
        raise InputError(f"{path} holds {found}: float32 [B, 3, H, W], already normalised, is needed")
    if not array.size or not np.isfinite(array).all():
        raise InputError(f"{path} holds {'NaN or infinite values' if array.size else 'no values'}: check what wrote it")
    patch = getattr(architecture, "multiple", architecture.patch_size)
    if not isinstance(architecture, ResNetArchitecture) and (array.shape[2] % patch or array.shape[3] % patch):
        raise InputError(f"{path}: {array.shape[2]}x{array.shape[3]} pixels are no multiple of the patch size {patch}")
    return array


def of_array(path: str, model: Model, layers: list[int] | None, device: torch.device) -> np.ndarray:
    """Features of a .npy of inputs as one array ``[B, N, D]``, or ``[B, L, N, D]`` with layers."""
    inputs = read_inputs(path, model.card.architecture)
    parts = []
    for i in Progress(range(0, len(inputs), BATCH), desc="features", unit="batch", disable=len(inputs) <= BATCH):
        images = torch.from_numpy(np.ascontiguousarray(inputs[i : i + BATCH])).to(device)
        if layers is None:
            with torch.inference_mode():
                parts.append(model.module.patch_tokens(images).cpu().numpy())  # type: ignore[operator]
        else:
            maps = [found.flatten(1, 2).cpu().numpy() for found in model.features(images, layers)]
            parts.append(np.stack(maps, axis=1))
    return np.concatenate(parts)


def main() -> int:
    parser = command_parser(
        __doc__,
        "python tools/extract_features.py dino_s16.safetensors inputs.npy --out features.npy\n"
        "  python tools/extract_features.py hf:facebook/dinov2-base photos/ --size 518 --layers 8 11 --out maps.npz",
    )
    parser.add_argument("checkpoint", help="canonical checkpoint, or a foreign file, folder or name")
    parser.add_argument(
        "inputs", help=".npy: float32 [B, 3, H, W], normalised; or a folder of images, an image, a .txt of paths"
    )
    parser.add_argument(
        "--out", required=True, help="NAME.npy: float32 [B, N, D], row-major; .npz and .safetensors: [h, w, D] by name"
    )
    parser.add_argument("--heads", type=int, help="attention heads, where the file does not tell")
    parser.add_argument("--branch", help="branch of a training file (default: the method's own)")
    parser.add_argument(
        "--size",
        type=int,
        nargs="+",
        help="pixels of the shorter side, or rows and columns (default: as trained)",
    )
    parser.add_argument(
        "--layers",
        type=int,
        nargs="+",
        help="blocks, 0 to depth - 1 or from the end (-1), each normed: one axis more",
    )
    add_device_argument(parser)
    parser.add_argument("--architecture", help="timm's name of the network, where a bare file stands for several")
    arguments = parser.parse_args()
    if not arguments.out.endswith(OUTPUTS):
        raise InputError(f"{arguments.out}: features are written as NAME.npy, NAME.npz or NAME.safetensors")
    if arguments.size is not None and len(arguments.size) > 2:
        raise InputError("--size takes one number, or rows and columns")
    pictures = find_pictures(arguments.inputs)
    if pictures is None and arguments.size is not None:
        raise InputError(f"--size is for images; {arguments.inputs} holds inputs of a size of their own")
    given = {"heads": arguments.heads, "branch": arguments.branch, "architecture": arguments.architecture}
    module, card = load_backbone(arguments.checkpoint, **given)
    model = Model("model", card, card.source_sha256, live=cast(DenseFeatures, module))
    check_layers(model, arguments.layers)
    device = usable_device(arguments.device)
    say_device(arguments.device)
    model.to(device)
    if pictures is None:
        array = of_array(arguments.inputs, model, arguments.layers, device)
        if arguments.out.endswith(".npy"):
            with atomic_path(arguments.out) as temporary:
                np.save(temporary, array)
        else:
            write_features(arguments.out, [("features", array)], model)
        shape = f"float32 {list(array.shape)}"
    else:
        found = features_of(model, pictures, arguments.size, arguments.layers, device)
        bar = Progress(found, total=len(pictures), desc="features", unit="image", disable=len(pictures) < BATCH)
        shape = f"{write_features(arguments.out, bar, model)} images"
    heads = getattr(card.architecture, "num_heads", None)
    network = f"network with {heads} heads" if heads else "network"
    print(f"{arguments.out}: {shape} from {card.method}, {network}")
    return 0


if __name__ == "__main__":
    run_command(main)
