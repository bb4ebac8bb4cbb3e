"""Progress bars: alive on a terminal and in a notebook, a line every half minute in a log."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm

#: Seconds between two lines of a log, which a batch system keeps for good.
LOG_INTERVAL = 30.0


class Progress(tqdm):
    """tqdm's bar, with its arguments."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        if not (sys.stderr.isatty() or "ipykernel" in sys.modules):
            options = {"mininterval": LOG_INTERVAL, "maxinterval": LOG_INTERVAL, **options}
        super().__init__(*arguments, **options)
