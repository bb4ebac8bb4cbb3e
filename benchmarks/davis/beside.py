"""Reading and writing beside a GPU that computes: threads for what keeps it waiting (13 ms a frame at S/16)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from benchmarks.davis.threads import settle

T = TypeVar("T")
R = TypeVar("R")

#: Frames that are read ahead, and label maps that wait to be written, for each sequence.
AHEAD = 16


def read_ahead(items: Iterable[T], read: Callable[[T], R]) -> Iterator[R]:
    """``map(read, items)``, up to :data:`AHEAD` ahead in one thread, in order; an error comes where its item would."""
    with ThreadPoolExecutor(1, "read", settle) as pool:
        waiting: deque[Future[R]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(read, item))
                if len(waiting) > AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


class Writer:
    """Calls ``write`` with each argument list in a thread; leaving it waits for the last, and raises what failed."""

    def __init__(self, write: Callable[..., None]) -> None:
        self.write = write

    def __enter__(self) -> Writer:
        self.pool = ThreadPoolExecutor(1, "write")
        self.waiting: deque[Future[None]] = deque()
        return self

    def __call__(self, *args: Any) -> None:
        """Have it written; waits where :data:`AHEAD` wait already."""
        self.waiting.append(self.pool.submit(self.write, *args))
        while len(self.waiting) > AHEAD:
            self.waiting.popleft().result()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.pool.shutdown(cancel_futures=kind is not None)
        if kind is None:
            while self.waiting:
                self.waiting.popleft().result()
