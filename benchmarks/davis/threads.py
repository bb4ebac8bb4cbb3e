"""One-core worker threads: torch uses one core in each of them, and elsewhere as many as before."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch

_pools: dict[int, ThreadPoolExecutor] = {}
_changing = threading.Lock()


def _forget() -> None:
    """In a forked process: it has none of its parent's threads."""
    _pools.clear()
    _changing.release()


os.register_at_fork(before=_changing.acquire, after_in_parent=_changing.release, after_in_child=_forget)


def settle() -> None:
    """Fix this thread's number of cores at the process's own; a thread that is about to use torch begins with this.

    torch reads the process's number when a thread first computes, and it is another for a moment while a pool starts.
    """
    with _changing:
        torch.get_num_threads()


def spread(work: Callable[[int], None], items: Sequence[int], threads: int) -> None:
    """Call ``work`` on every item, in ``threads`` threads that use one core each.

    torch's own threads would meet after every small operation; these meet once. The threads stay for the next call.
    """
    if threads == 1:
        for item in items:
            work(item)
        return
    for _ in _pool(threads).map(work, items):
        pass


def _pool(threads: int) -> ThreadPoolExecutor:
    """The pool of so many threads, started on first use."""
    with _changing:
        if threads not in _pools:
            # Setting a thread's number sets the process's too, the one that later threads begin with: it is put
            # back when all of these have begun.
            before = torch.get_num_threads()
            begun = threading.Barrier(threads + 1)

            def begin() -> None:
                torch.get_num_threads()  # else the thread takes over the process's number when it first computes
                torch.set_num_threads(1)
                begun.wait()

            pool = ThreadPoolExecutor(threads, "davis", begin)
            for _ in range(threads):
                pool.submit(lambda: None)
            begun.wait()
            torch.set_num_threads(before)
            _pools[threads] = pool
        return _pools[threads]
