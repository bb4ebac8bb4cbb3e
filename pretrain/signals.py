"""SIGTERM and Ctrl-C stop a run after the step it is in; SIGUSR1 makes it write a snapshot and go on."""

from __future__ import annotations

import signal
import threading
from types import FrameType


class Requests:
    """What signals have asked for while this is entered: ``stop`` (the signal, or None) and ``save``.

    Outside the main thread Python allows no handlers: nothing is caught then.
    """

    def __init__(self) -> None:
        self.stop: int | None = None
        self.save = False
        self._before: dict[int, object] = {}

    def __enter__(self) -> Requests:
        if threading.current_thread() is threading.main_thread():
            handlers = {signal.SIGTERM: self._stop, signal.SIGINT: self._stop, signal.SIGUSR1: self._save}
            self._before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.stop = number
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a second Ctrl-C ends it at once

    def _save(self, number: int, frame: FrameType | None) -> None:
        self.save = True
