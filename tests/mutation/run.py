"""How many mutants the tests kill: `make mutants` for all modules, `make mutants MODULES=pretrain/views.py` for some.

Works in a copy of the repository, so that commands which a test starts run the mutant too. Each module's tests are run
once as they are, to see which functions each of them calls. What does not depend on the module is imported once; each
mutant gets a fork, in which the tests that call the changed function run, those first that killed most in least time.
A mutant is killed when a test fails, or when the tests take ten times as long as before. Tests that do not call the
function are not asked, nor those beyond ``--seconds``: the score can only be too low.
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
from trial import killer, together, watch
from warm import dependents, name_of

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


def asked(module: str, code: str, line: int, seen: dict[str, Any]) -> list[str]:
    """The tests that call the function in which ``line`` lies; for what runs at import, those that use the module."""
    spans = [
        (min([node.lineno, *(each.lineno for each in node.decorator_list)]), node.end_lineno or 0)
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    inner = [begin for begin, end in spans if begin <= line <= end]
    tests = seen["tests"]
    if inner and [module, max(inner)] not in seen["at_import"]:
        return [name for name, test in tests.items() if [module, max(inner)] in test["calls"]]
    users = [name for name, test in tests.items() if any(file == module for file, _ in test["calls"])]
    return users or list(tests)


def warm_up(module: str, modules: list[str]) -> None:
    """Import what the tests import and ``module`` cannot be felt in."""
    felt = dependents(Path(), name_of(Path(module)))
    # mmcv gets its operators from this package, so nothing of OpenMMLab comes before it, or without it.
    late = ("mmcv", "mmdet", "mmseg", "mmengine", "detectron2")
    if "benchmarks.engines" not in felt and any(name.startswith(late) for name in modules):
        modules = ["benchmarks.engines", *modules]
    elif "benchmarks.engines" in felt:
        modules = [name for name in modules if not name.startswith(late)]
    for name in modules:
        if name not in felt and name not in sys.modules and name.split(".")[0] not in sys.builtin_module_names:
            with contextlib.suppress(Exception):
                importlib.import_module(name)


def judge(module: str, seen: dict[str, Any], mutator: Path, sample: int, seed: int, seconds: float) -> None:
    """Try the mutants of ``module``; ``seen`` is of its tests as they are. Prints those that live, and the score."""
    path = Path(module)
    listed = subprocess.run([mutator, ROOT / "tests/mutation/mutate.py", path], capture_output=True, check=True)
    code, found = path.read_text(encoding="utf-8"), json.loads(listed.stdout)
    warm_up(module, seen["modules"])
    total = len(found)
    if 0 < sample < total:
        found = random.Random(f"{seed} {module}").sample(found, sample)
    kills: Counter[str] = Counter()
    alive = 0
    for number, mutant in enumerate(found):
        times = {name: seen["tests"][name]["seconds"] for name in asked(module, code, mutant["line"], seen)}
        names, spent = [], 0.0
        for name in sorted(times, key=lambda name: -(kills[name] + 0.5) / (times[name] + 0.05)):
            spent += times[name]
            if names and spent > seconds:
                break
            names.append(name)
        path.write_text(mutant["code"], encoding="utf-8")
        # A date of its own: Python takes compiled code for current that has the source's size and second.
        os.utime(path, (number, number))
        by = killer(names, 15 + 10 * min(spent, seconds)) if names else None
        kills[by or ""] += 1
        if by is None:
            alive += 1
            print(f"  {module}:{mutant['line']} {mutant['kind']} ({len(names)} tests)", flush=True)
            print(f"    - {mutant['was']}\n    + {mutant['is']}", flush=True)
    path.write_text(code, encoding="utf-8")
    killed, tried = len(found) - alive, max(1, len(found))
    low, high = wilson(killed, tried)
    drawn = f" (drawn of {total}; 95 % interval {100 * low:.0f} to {100 * high:.0f} %)" if tried < total else ""
    by_other = f"{kills['time']} of them by time, {kills['start']} at the start"
    print(f"{module}: {killed} of {tried} killed = {100 * killed / tried:.1f} %{drawn}, {by_other}", flush=True)


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
    mutator = arguments.mutator.absolute()
    os.environ |= {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONHASHSEED": "0"}
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
        known: dict[str, dict[str, Any]] = {}
        for module in arguments.modules:
            for file in TESTS[module]:
                known[file] = known.get(file) or watch(file, copy)
            seen = together([known[file] for file in TESTS[module]])
            if (child := os.fork()) == 0:
                try:
                    judge(module, seen, mutator, arguments.sample, arguments.seed, arguments.seconds)
                except BaseException:
                    traceback.print_exc()
                os._exit(0)  # what lies above, such as the removal of the copy, is the parent's
            os.waitpid(child, 0)


if __name__ == "__main__":
    main()
