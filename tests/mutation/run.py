"""How many mutants the tests kill: `make mutants` for all modules, `make mutants MODULES=pretrain/views.py` for some.

Works in a copy of the repository, so that commands which a test starts run the mutant too. Each module's tests are
collected and run once as they are, to see which functions and lines each of them reaches. A mutant of functions is put
into the imported module, in a fork; one of constants, defaults or fields is imported anew (``swap.py``). Of the tests
those that reach the changed line run, first those that killed most in least time. A mutant is killed when a test fails,
or when the tests take ten times as long as before. Tests that do not reach the line are not asked, nor those beyond
``--seconds``: the score can only be too low.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import importlib
import json
import math
import os
import random
import shutil
import subprocess
import sys
import tempfile
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

from modules import TESTS
from swap import functions_of, name_of
from trial import Trials, killer

ROOT = Path(__file__).resolve().parents[2]
LIBRARIES = (
    "numpy", "cv2", "torch", "torchvision", "timm", "PIL.Image", "scipy.stats", "sklearn", "pycocotools.cocoeval",
    "pytest", "matplotlib.pyplot", "safetensors.torch", "tqdm", "unittest.mock",
)  # fmt: skip


def wilson(killed: int, tried: int, z: float = 1.96) -> tuple[float, float]:
    """The 95 % confidence interval (Wilson's score) of a share of ``tried`` that were drawn."""
    share, squared = killed / tried, z * z / tried
    middle = (share + squared / 2) / (1 + squared)
    half = z / (1 + squared) * math.sqrt(share * (1 - share) / tried + squared / (4 * tried))
    return middle - half, middle + half


def statement(code: str, line: int) -> tuple[int, int]:
    """First and last line of the innermost statement of ``line``; of one with a body, of its head."""
    found = (line, line)
    for node in ast.walk(ast.parse(code)):  # the outer ones come first
        if isinstance(node, ast.stmt) and node.lineno <= line <= (node.end_lineno or 0):
            body = getattr(node, "body", None)
            end = body[0].lineno - 1 if body and line < body[0].lineno else node.end_lineno or 0
            found = node.lineno, max(end, node.lineno)
    return found


def asked(module: str, code: str, line: int, seen: dict[str, Any]) -> list[str]:
    """The tests that reach the statement of ``line``, else those that call its function; for what runs at import,
    those that use the module."""
    spans = [
        (min([node.lineno, *(each.lineno for each in node.decorator_list)]), node.end_lineno or 0)
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    inner = [begin for begin, end in spans if begin <= line <= end]
    tests = seen["tests"]
    if inner and [module, max(inner)] not in seen["at_import"]:
        begin, end = statement(code, line)
        reached = [[f"{module}:", number] for number in range(begin, end + 1)]
        calls = [name for name, test in tests.items() if [module, max(inner)] in test["calls"]]
        return [name for name in calls if any(each in tests[name]["calls"] for each in reached)] or calls
    users = [name for name, test in tests.items() if any(file == module for file, _ in test["calls"])]
    return users or list(tests)


class Judge:
    """The mutants of one module, and what became of them."""

    def __init__(self, module: str, mutator: Path, sample: int, seed: int, seconds: float) -> None:
        self.module, self.path, self.seconds = module, Path(module), seconds
        listed = subprocess.run([mutator, ROOT / "tests/mutation/mutate.py", module], capture_output=True, check=True)
        found = json.loads(listed.stdout)
        self.code, self.total = self.path.read_text(encoding="utf-8"), len(found)
        self.mutants = random.Random(f"{seed} {module}").sample(found, sample) if 0 < sample < self.total else found
        self.kills: Counter[str] = Counter()
        self.alive = 0

    def names(self, mutant: dict[str, Any], seen: dict[str, Any]) -> tuple[list[str], float]:
        """The tests to ask, in order, and the processor seconds that they take."""
        times = {name: seen["tests"][name]["seconds"] for name in asked(self.module, self.code, mutant["line"], seen)}
        names, spent = [], 0.0
        for name in sorted(times, key=lambda name: -(self.kills[name] + 0.5) / (times[name] + 0.05)):
            if names and spent + times[name] > self.seconds:
                break
            spent += times[name]
            names.append(name)
        return names, spent

    def write(self, code: str, number: int) -> None:
        self.path.write_text(code, encoding="utf-8")
        # A date of its own: Python takes compiled code for current that has the source's size and second.
        os.utime(self.path, (number, number))

    def note(self, mutant: dict[str, Any], by: str | None, asked: int) -> None:
        self.kills[by or ""] += 1
        if by is None:
            self.alive += 1
            print(f"  {self.module}:{mutant['line']} {mutant['kind']} ({asked} tests)", file=report)
            print(f"    - {mutant['was']}\n    + {mutant['is']}", file=report, flush=True)

    def in_place(self, trials: Trials, seen: dict[str, Any]) -> list[int]:
        """Try the mutants of functions in what is imported here; the numbers of the others."""
        here, left = importlib.import_module(name_of(self.path)), []
        for number, mutant in enumerate(self.mutants):
            swaps = functions_of(here, self.code, mutant["code"])
            if not swaps or any([self.module, f.__code__.co_firstlineno] in seen["at_import"] for f, _ in swaps):
                left.append(number)
                continue

            def change(swaps: list[Any] = swaps) -> None:
                for function, code in swaps:
                    function.__code__ = code
                for kept in vars(here).values():
                    getattr(kept, "cache_clear", int)()

            names, spent = self.names(mutant, seen)
            self.write(mutant["code"], number)
            self.note(mutant, trials.killer(names, change, 15 + 10 * spent) if names else None, len(names))
        self.write(self.code, len(self.mutants))
        return left

    def anew(self, left: list[int], seen: dict[str, Any]) -> None:
        """Try the mutants of these numbers, each imported in a fork."""
        for number in left:
            names, spent = self.names(self.mutants[number], seen)
            self.write(self.mutants[number]["code"], number)
            self.note(self.mutants[number], killer(names, 30 + 10 * spent) if names else None, len(names))
        self.write(self.code, len(self.mutants))

    def score(self) -> str:
        tried = max(1, len(self.mutants))
        killed = len(self.mutants) - self.alive
        low, high = wilson(killed, tried)
        drawn = f" (drawn of {self.total}; 95 % interval {100 * low:.0f} to {100 * high:.0f} %)"
        others = f"{self.kills['time']} of them by time, {self.kills['start']} at the start"
        share = f"{killed} of {tried} killed = {100 * killed / tried:.1f} %"
        return f"{self.module}: {share}{drawn if tried < self.total else ''}, {others}"


#: Where the results go; the tests' own output goes nowhere.
report = sys.stdout


def judge(module: str, known: dict[tuple[str, ...], Any], folder: Path, options: list[Any]) -> None:
    """Try a module's mutants and print those that live, and the score. ``known`` keeps what tests call."""
    files, answer = TESTS[module], folder / "answer.json"
    one = Judge(module, *options)
    answer.unlink(missing_ok=True)
    if (child := os.fork()) == 0:
        try:
            silent = os.open(os.devnull, os.O_RDWR)
            os.dup2(silent, 1)

            def work(trials: Trials) -> None:
                seen = known.get(tuple(files)) or trials.watched()
                left = one.in_place(trials, seen)
                answer.write_text(json.dumps([seen, left, one.kills, one.alive, [*sys.modules]]))

            Trials(Path().resolve(), TESTS, work).collect(files)
        except BaseException:
            traceback.print_exc()
        os._exit(0)  # what lies above, such as the removal of the copy, is the parent's
    os.waitpid(child, 0)
    if not answer.exists():
        print(f"{module}: not judged, its tests do not pass as they are", file=report, flush=True)
        return
    seen, left, kills, one.alive, imported = json.loads(answer.read_text())
    known[tuple(files)], one.kills = seen, Counter(kills)
    # Once for all forks; of OpenMMLab nothing, as it gets its operators from the house.
    for name in imported if left else ():
        if name.split(".")[0] not in ("benchmarks", "pretrain", "mmcv", "mmengine", "mmdet", "mmseg", "__main__"):
            with contextlib.suppress(BaseException):
                importlib.import_module(name)
    one.anew(left, seen)
    print(one.score(), file=report, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", default=list(TESTS), help="which (all in tests/mutation/modules.py)")
    parser.add_argument("--mutator", type=Path, required=True, help="a Python with cosmic-ray")
    parser.add_argument("--sample", type=int, default=0, help="mutants drawn of each module that has more (0: all)")
    parser.add_argument("--seed", type=int, default=0, help="of the draw (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=30, help="of tests a mutant (default: %(default)s)")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.modules) - set(TESTS))
    if unknown:
        parser.error(f"{' '.join(unknown)}: tests/mutation/modules.py does not say which tests are theirs")
    options = [arguments.mutator.absolute(), arguments.sample, arguments.seed, arguments.seconds]
    os.environ |= {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONHASHSEED": "0"}
    global report
    report = os.fdopen(os.dup(1), "w")
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder).resolve() / "copy"
        unwanted = shutil.ignore_patterns(".git", ".venv*", "runs", "data/coco", "__pycache__", ".*_cache", "build")
        shutil.copytree(ROOT, copy, ignore=unwanted, symlinks=True)
        os.chdir(copy)
        os.environ["PYTHONPATH"] = str(copy)
        here = ROOT / "tests/mutation"
        sys.path[:] = [str(copy), *(each for each in sys.path if Path(each or ".").resolve() not in (here, ROOT))]
        for library in LIBRARIES:
            importlib.import_module(library)
        known: dict[tuple[str, ...], Any] = {}
        for module in arguments.modules:
            judge(module, known, Path(folder), options)


if __name__ == "__main__":
    main()
