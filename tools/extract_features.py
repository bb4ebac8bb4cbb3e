"""Patch features of given inputs: tokens of the last block after the model's final norm."""

from __future__ import annotations

import numpy as np
import torch
from tqdm import tqdm

from benchmarks.backbones import load_backbone
from benchmarks.checkpoints.card import Architecture, ResNetArchitecture, TimmArchitecture
from benchmarks.devices import add_device_argument, say_device, usable_device
from benchmarks.errors import InputError, command_parser, run_command
from benchmarks.files import atomic_path, require_file

BATCH = 16


def read_inputs(path: str, architecture: Architecture | ResNetArchitecture | TimmArchitecture) -> np.ndarray:
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


def main() -> int:
    parser = command_parser(
        __doc__, "python tools/extract_features.py dino_s16.safetensors inputs.npy --out features.npy"
    )
    parser.add_argument("checkpoint", help="canonical checkpoint, or a foreign file or folder (converted in memory)")
    parser.add_argument("inputs", help=".npy, float32 [B, 3, H, W], already normalised")
    parser.add_argument("--out", required=True, help=".npy, float32 [B, N, D], patches row-major")
    parser.add_argument("--heads", type=int, help="attention heads, where the file does not tell")
    add_device_argument(parser)
    parser.add_argument("--architecture", help="timm's name of the network, where a bare file stands for several")
    arguments = parser.parse_args()
    if not arguments.out.endswith(".npy"):
        raise InputError(f"{arguments.out}: features are written as NAME.npy")
    module, card = load_backbone(arguments.checkpoint, heads=arguments.heads, architecture=arguments.architecture)
    inputs = read_inputs(arguments.inputs, card.architecture)
    device = usable_device(arguments.device)
    say_device(arguments.device)
    module.to(device)
    with torch.inference_mode():
        parts = [
            module.patch_tokens(torch.from_numpy(np.ascontiguousarray(inputs[i : i + BATCH])).to(device)).cpu().numpy()
            for i in tqdm(range(0, len(inputs), BATCH), desc="features", unit="batch", disable=len(inputs) <= BATCH)
        ]
    features = np.concatenate(parts)
    with atomic_path(arguments.out) as temporary:
        np.save(temporary, features)
    a = card.architecture
    network = "ResNet" if isinstance(a, ResNetArchitecture) else f"ViT with {a.num_heads} heads"
    network = a.name if isinstance(a, TimmArchitecture) else network
    print(f"{arguments.out}: float32 {list(features.shape)} from {card.method}, {network}")
    return 0


if __name__ == "__main__":
    run_command(main)
