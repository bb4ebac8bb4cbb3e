"""What the other parts' figures were measured on."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterator

import torch

from benchmarks.core.environment import device_text, version_of
from device_parts.book import Row, Size
from device_parts.turns import device


def set_up(size: Size) -> Iterator[Row]:
    """One row: device, driver, versions."""
    where = device()
    properties = torch.cuda.get_device_properties(where) if where.type == "cuda" else None
    yield {
        "device": device_text(str(where)),
        "devices_count": torch.cuda.device_count() if properties else 0,
        "device_memory_gib": round(properties.total_memory / 2**30, 2) if properties else None,
        "capability": f"{properties.major}.{properties.minor}" if properties else None,
        "driver": _driver() if properties else None,
        "cuda": torch.version.cuda,
        "cudnn": str(torch.backends.cudnn.version()),
        "processor": platform.processor() or platform.machine(),
        "cores_count": os.cpu_count(),
        "threads_count": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": version_of("torchvision"),
        "timm": version_of("timm"),
        "mmdet": version_of("onedl-mmdetection") or version_of("mmdet"),
    }


def _driver() -> str | None:
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        return None
