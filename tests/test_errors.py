"""The one line that a command says when its input is not usable."""

import io
import sys
import time

import pytest
from tqdm import tqdm

from benchmarks.errors import InputError, run_command
from benchmarks.progress import Progress


def kept():
    """A bar that nobody has closed."""
    bar = tqdm(total=9, mininterval=0)
    bar.update(3)
    raise InputError("number 3\nis bad: take another")


def below_another():
    """A bar that wipes itself out, on a line below one that is open elsewhere."""
    other = tqdm(total=9, file=io.StringIO())
    for number in tqdm(range(9), mininterval=0, leave=False):
        if number == 3:
            raise InputError(f"number {number - other.n}\nis bad: take another")


@pytest.mark.parametrize("main", [kept, below_another])
def test_the_line_is_its_own_even_after_a_progress_bar(capsys, main):
    with pytest.raises(SystemExit) as stop:
        run_command(main)
    assert stop.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1] == "error: number 3 is bad: take another"


@pytest.mark.parametrize(("where", "least", "most"), [("terminal", 5, 9), ("notebook", 5, 9), ("log", 1, 2)])
def test_a_log_gets_no_line_a_step(monkeypatch, where, least, most):
    monkeypatch.setattr("sys.stderr.isatty", lambda: where == "terminal", raising=False)
    if where == "notebook":
        monkeypatch.setitem(sys.modules, "ipykernel", None)
    log = io.StringIO()
    for _ in Progress(range(5), file=log, leave=False):
        time.sleep(0.12)  # longer than a bar on a terminal waits
    assert least <= log.getvalue().count("%|") <= most
