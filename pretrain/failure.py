"""What a run says when it cannot go on although its input was usable: one line, and exit code 1."""

from __future__ import annotations


class TrainingFailed(Exception):
    """The work failed. The message is one line: what happened, at which step, and what is safe."""


class Stopped(Exception):
    """A signal asked the run to stop; the snapshot is written. ``code`` is the shell's: 128 + the signal."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code
