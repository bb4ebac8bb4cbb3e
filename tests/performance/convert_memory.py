"""How much memory and time does a conversion cost? Prints peak memory over file size, and seconds.

Writes a DINOv2 ViT of the asked size with constant weights, converts it in a process of its own and reads the
peak from the operating system. ``giant`` needs 10 GB of disk.

    python tests/performance/convert_memory.py --size giant
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.checkpoints.card import Architecture
from benchmarks.checkpoints.shapes import tensor_shapes

ROOT = Path(__file__).resolve().parents[2]
COMMON = {"class_token": True, "position_prefix_rows": 1, "layer_scale": True}
SIZES = {
    "base": Architecture(768, 12, 12, 14, 518, **COMMON),
    "giant": Architecture(1536, 40, 24, 14, 518, mlp="swiglu", mlp_hidden=4096, **COMMON),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="base")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder) / "source.pth", Path(folder) / "out.safetensors"
        tensors = {name: torch.full(shape, 0.01) for name, shape in tensor_shapes(SIZES[arguments.size]).items()}
        torch.save(tensors | {"mask_token": torch.zeros(1, SIZES[arguments.size].embed_dim)}, source)
        del tensors
        command = [sys.executable, ROOT / "tools" / "convert.py", source, "--out", out]
        start = time.monotonic()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=ROOT)
        seconds = time.monotonic() - start
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
        size = source.stat().st_size
        print(f"{arguments.size}: {size / 1e9:.2f} GB, peak {peak / 1e9:.2f} GB = {peak / size:.2f}x, {seconds:.1f} s")


if __name__ == "__main__":
    main()
