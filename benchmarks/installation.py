"""Is what is installed here fit for use? ``python -m benchmarks.installation`` says it in a few lines.

``make`` asks this at the end of its set-up. OpenMMLab's packages are looked at where they are installed: pretraining,
conversion, DAVIS, k-NN and the scorers need none.
"""

from __future__ import annotations

import importlib
import importlib.util
import platform

import torch

import benchmarks
from benchmarks.devices import explain
from benchmarks.engines.mmcv_ops import operators
from benchmarks.errors import InputError, run_command

DETECTION = ("mmengine", "mmcv.ops", "mmdet", "mmseg")


def faults() -> list[str]:
    """What is wrong, one line each with what to do; empty where nothing is."""
    found = []
    try:
        import cv2  # noqa: F401
    except ImportError as error:
        cure = "python -m pip install --force-reinstall --no-deps opencv-python-headless"
        found.append(f"opencv cannot be imported ({error}): {cure}")
    try:
        import torchvision  # noqa: F401
    except (ImportError, RuntimeError) as error:
        found.append(f"torchvision cannot be imported ({error}): it must be the release that belongs to torch's")
    else:
        if torch.cuda.is_available() and torch.ops.torchvision._cuda_version() == -1:
            found.append("torch finds a GPU but torchvision was built without CUDA: take both from the same place")
    if importlib.util.find_spec("mmengine") is not None:
        for name in DETECTION:
            try:
                importlib.import_module(name)
            except ImportError as error:
                found.append(f"{name} cannot be imported ({error}): pip install -r requirements.txt")
    return found


def main() -> None:
    print(f"flsl-benchmarks {benchmarks.__version__}, Python {platform.python_version()}, torch {torch.__version__}")
    print(f"device: {explain('auto')}")
    print(f"mmcv's operators: {operators() or 'mmcv is not installed: no detectors (pip install .[detection])'}")
    if wrong := faults():
        raise InputError("; ".join(wrong))


if __name__ == "__main__":
    run_command(main)
