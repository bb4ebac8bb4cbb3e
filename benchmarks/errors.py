"""What a command says about its input: one line and exit code 2 where it is not usable, or a note."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable


class InputError(Exception):
    """The input of a command is not usable.

    The message is one line: what is wrong, where, and what to do about it.
    """


def run_command(main: Callable[[], int | None]) -> None:
    """Run the body of a command-line tool and turn its outcome into an exit code.

    Exit codes: 0 done, 1 the work failed or a regression was found, 2 the input was not usable
    (argparse uses 2 for wrong arguments as well), 130 interrupted.
    """
    try:
        code = main()
    except InputError as error:
        _end_progress_bars()
        line = " ".join(str(error).split())
        print(f"error: {line}", file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        code = 130
    sys.stdout.flush()
    raise SystemExit(code or 0)


def say(line: str) -> None:
    """Print one line beside the work, on standard error: what is no fault but explains a number, such as a zero."""
    tqdm = sys.modules.get("tqdm")
    if tqdm:  # a bar that is running moves down
        tqdm.tqdm.write(f"note: {line}", file=sys.stderr)
    else:
        print(f"note: {line}", file=sys.stderr)


def _end_progress_bars() -> None:
    """Let what is printed next begin on a line of its own: a loop that was left does not end its bar by itself."""
    tqdm = sys.modules.get("tqdm")
    bars = list(getattr(tqdm and tqdm.tqdm, "_instances", ()))
    for bar in bars:
        bar.close()
    if bars:  # a bar that wipes itself out leaves the cursor where it was
        print(end="\r", file=sys.stderr)


def command_parser(description: str, example: str) -> argparse.ArgumentParser:
    """An argument parser whose ``--help`` ends with an example that can be pasted."""
    return argparse.ArgumentParser(
        description=description,
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
