"""SIGTERM and Ctrl-C stop a run after the step it is in; SIGUSR1 makes it write a snapshot and go on."""

from __future__ import annotations

import signal
import threading
from types import FrameType


class Requests:
    """What signals have asked for since the last look. Outside the main thread Python allows no handlers: none then."""

    def __init__(self) -> None:
        self.stop: int | None = None  # the signal
        self.save = False
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._stop)
            signal.signal(signal.SIGINT, self._stop)
            signal.signal(signal.SIGUSR1, self._save)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.stop = number
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a second Ctrl-C ends it at once

    def _save(self, number: int, frame: FrameType | None) -> None:
        self.save = True
