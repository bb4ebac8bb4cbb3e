"""Tests in forks of this process: what each runs of the code, how long it takes, which of them fails first."""

from __future__ import annotations

import contextlib
import json
import math
import os
import resource
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pytest
from swap import name_of

#: A function: its file below the repository, and the line that Python says it begins at.
Function = tuple[str, int]
OPTIONS = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]


def in_fork(work: Callable[[], Any], limit: float) -> tuple[Any, bool]:
    """What ``work`` gives in a silent fork (None where it dies), and whether it ran into the limit.

    The limit is in seconds of a processor: a machine that others use as well makes no test slower. Who sleeps for
    ever is given ten times as long by the clock.
    """
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder, "answer")
        began, child = time.monotonic(), os.fork()
        if child == 0:
            os.setsid()
            resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(limit), math.ceil(limit) + 5))
            silent = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(silent, stream)
            with contextlib.suppress(BaseException):
                answer.write_text(json.dumps(work()))
            os._exit(0)
        while (late := not (ended := os.waitpid(child, os.WNOHANG))[0]) and time.monotonic() - began < 10 * limit:
            time.sleep(0.02)
        with contextlib.suppress(ProcessLookupError):  # what the tests left behind goes too
            os.killpg(child, signal.SIGKILL)
        code = os.waitpid(child, 0)[1] if late else ended[1]
        late = late or (os.WIFSIGNALED(code) and os.WTERMSIG(code) == signal.SIGXCPU)
        found = json.loads(answer.read_text()) if answer.exists() and answer.stat().st_size else None
        return found, late


def processor_seconds() -> float:
    """What this process and the children that it waited for have used."""
    return sum(os.times()[:4])


class Watch:
    """A pytest plugin: the functions of the repository at ``root`` that each test calls, and its processor seconds.

    Of ``modules`` (files below the root) the lines as well, under the file's name with a colon. What a fixture of a
    whole file calls counts for every test that asks for it.
    """

    def __init__(self, root: Path, modules: Collection[str]) -> None:
        self.root, self.modules = f"{root}{os.sep}", modules
        self.calls: set[Function] = set()
        self.at_import: set[Function] = set()
        self.fixtures: dict[int, set[Function]] = {}
        self.tests: dict[str, dict[str, Any]] = {}

    def trace(self, frame: Any, event: str, argument: Any) -> Any:
        code = frame.f_code
        if not code.co_filename.startswith(self.root):
            return None
        file = code.co_filename[len(self.root) :]
        self.calls.add((file, code.co_firstlineno))
        if file not in self.modules:
            return None

        def line(frame: Any, event: str, argument: Any) -> Any:
            self.calls.add((f"{file}:", frame.f_lineno))
            return line

        return line

    def forget(self) -> None:
        """Clear what the modules keep: a test is to call what it asks for."""
        for file in self.modules:
            for kept in vars(sys.modules.get(name_of(Path(file)), object)).values():
                getattr(kept, "cache_clear", int)()

    def begin(self) -> None:
        sys.settrace(self.trace)
        threading.settrace(self.trace)

    def end(self) -> None:
        sys.settrace(None)
        threading.settrace(None)  # type: ignore[arg-type]

    def pytest_collection_finish(self) -> None:
        self.at_import, self.calls = self.calls, set()
        self.end()

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any) -> Any:
        before, self.calls = self.calls, set()
        try:
            return (yield)
        finally:
            if fixturedef.scope != "function":
                self.fixtures.setdefault(id(fixturedef), set()).update(self.calls)
            self.calls |= before

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: Any) -> Any:
        self.forget()
        self.calls, began = set(), processor_seconds()
        result = yield
        used = {id(each) for several in item._fixtureinfo.name2fixturedefs.values() for each in several}
        calls = self.calls.union(*(self.fixtures.get(each, set()) for each in used))
        self.tests[item.nodeid] = {"seconds": processor_seconds() - began, "calls": sorted(calls)}
        return result


class Order:
    """A pytest plugin: the tests in the order in which they are named; keeps which of them failed."""

    def __init__(self, names: list[str]) -> None:
        self.place = {name: number for number, name in enumerate(names)}
        self.failed: list[str] = []

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        items[:] = sorted((item for item in items if item.nodeid in self.place), key=lambda i: self.place[i.nodeid])

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            self.failed.append(report.nodeid)


class Trials:
    """A pytest plugin: gives ``work`` the tests that pytest has collected, in place of running them.

    Everything is imported then. What runs, runs in forks, which leave this process as it is.
    """

    def __init__(self, root: Path, modules: Collection[str], work: Callable[[Trials], None]) -> None:
        self.watch, self.work = Watch(root, modules), work
        self.items: dict[str, Any] = {}
        self.failed: list[str] = []

    def collect(self, files: list[str]) -> None:
        """Collect the tests of ``files`` and do the work."""
        self.watch.begin()
        pytest.main([*OPTIONS, "-s", *files], plugins=[self.watch, self])

    def pytest_runtestloop(self, session: Any) -> bool:
        self.items = {item.nodeid: item for item in session.items}
        self.work(self)
        return True

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            self.failed.append(report.nodeid)

    def _run(self, names: list[str]) -> str:
        """The first of the tests to fail, "" where none does."""
        items = [self.items[name] for name in names]
        for item, following in zip(items, [*items[1:], None], strict=True):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if self.failed:
                return self.failed[0]
        return ""

    def watched(self) -> dict[str, Any]:
        """All tests as they are: ``tests`` (name -> seconds and functions), and the functions called ``at_import``."""

        def work() -> dict[str, Any]:
            self.watch.begin()
            failed = self._run([*self.items])
            self.watch.end()
            return {"failed": failed, "tests": self.watch.tests}

        found, _ = in_fork(work, 1800)
        if found is None or found["failed"] or not self.items:
            raise SystemExit(f"the tests do not pass as they are: {found and found['failed']}")
        return {"tests": found["tests"], "at_import": sorted(self.watch.at_import)}

    def killer(self, names: list[str], change: Callable[[], None], limit: float) -> str | None:
        """As :func:`killer`, in a fork that makes the ``change`` to what is imported here."""

        def work() -> str:
            change()
            return self._run(names)

        found, late = in_fork(work, limit)
        return ("time" if late else "start") if found is None else found or None


def killer(names: list[str], limit: float) -> str | None:
    """The first of the tests to fail, "time" where they take too long, "start" where they cannot begin; else None.

    In a fork of this process, which imports whatever is not imported here.
    """

    def work() -> list[Any]:
        plugin = Order(names)
        files = dict.fromkeys(name.partition("::")[0] for name in names)
        code = int(pytest.main([*OPTIONS, *files], plugins=[plugin]))
        return [code, plugin.failed]

    found, late = in_fork(work, limit)
    if found is None:
        return "time" if late else "start"
    code, failed = found
    return (failed[0] if failed else "start") if code else None
