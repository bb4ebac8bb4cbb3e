"""Several processes that do one job: which of them speaks for all."""

from __future__ import annotations

import os


def is_first_process() -> bool:
    """Whether this process prints, draws, and writes records; torchrun numbers its processes by ``RANK``."""
    return int(os.environ.get("RANK", "0")) == 0
