"""SIGTERM and Ctrl-C stop a run after the step it is in; SIGUSR1 makes it write a snapshot and go on.

Such signals often reach a whole process group. Loader workers must then live on until the run has ended its step.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

#: Seconds that a loader worker lives on after SIGTERM: a step and a snapshot.
GRACE = 60


def shield_worker(worker: int) -> None:
    """Have a loader worker leave signals to the run. SIGTERM ends it after :data:`GRACE`, should nobody else do so."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, lambda number, frame: signal.alarm(GRACE))


class Requests:
    """What signals have asked for while this is entered: ``stop`` (the signal, or None) and ``save``.

    Outside the main thread Python allows no handlers: nothing is caught then.
    """

    def __init__(self) -> None:
        self.stop: int | None = None
        self.save = False
        self._before: dict[int, Any] = {}

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
