"""The one line that a command says when its input is not usable."""

import pytest
from tqdm import tqdm

from benchmarks.errors import InputError, run_command


def test_the_line_is_its_own_even_after_a_progress_bar(capsys):
    def main():
        for number in tqdm(range(9), mininterval=0):
            if number == 3:
                raise InputError("number 3\nis bad: take another")

    with pytest.raises(SystemExit) as stop:
        run_command(main)
    assert stop.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1] == "error: number 3 is bad: take another"
