"""The one line that a command says when its input is not usable."""

import io

import pytest
from tqdm import tqdm

from benchmarks.errors import InputError, run_command


@pytest.mark.parametrize("nested", [False, True])
def test_the_line_is_its_own_even_after_progress_bars(capsys, nested):
    def main():
        outer = tqdm(range(2), mininterval=0) if nested else range(2)
        for _ in outer:
            for number in tqdm(range(9), mininterval=0, leave=False):
                if number == 3:
                    raise InputError("number 3\nis bad: take another")

    other = tqdm(range(3), file=io.StringIO()) if nested else None  # one that was left open elsewhere
    with pytest.raises(SystemExit) as stop:
        run_command(main)
    del other
    assert stop.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1] == "error: number 3 is bad: take another"
