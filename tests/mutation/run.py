"""How many mutants the tests kill: `make mutants` for all modules, `make mutants MODULES=pretrain/views.py` for some.

Works in a copy of the repository, so that commands which a test starts run the mutant too. The libraries are imported
once; each mutant gets a fork. A mutant is killed when a test fails, or runs ten times as long as before.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from modules import TESTS

ROOT = Path(__file__).resolve().parents[2]
LIBRARIES = (
    "numpy", "cv2", "torch", "torchvision", "timm", "PIL.Image", "scipy.stats", "sklearn", "pycocotools.cocoeval",
    "pytest", "matplotlib.pyplot", "safetensors.torch", "tqdm", "benchmarks.engines", "mmdet.datasets", "mmdet.models",
)  # fmt: skip


def run_tests(tests: list[str], limit: float) -> tuple[str, float]:
    """What the tests say in a fork of this process (passed, failed, timeout), and after how many seconds."""
    began, child = time.monotonic(), os.fork()
    if child == 0:
        os.setsid()
        silent = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(silent, stream)
        import pytest

        os._exit(int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *tests])))
    while time.monotonic() - began < limit:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return ("passed" if status == 0 else "failed"), time.monotonic() - began
        time.sleep(0.05)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "timeout", limit


def judge(module: str, mutator: Path) -> list[dict]:
    """Run every mutant of ``module``; return those that live. Prints one line a survivor and the score."""
    path = Path(module)
    listed = subprocess.run([mutator, ROOT / "tests/mutation/mutate.py", path], capture_output=True, check=True)
    code, found = path.read_text(encoding="utf-8"), json.loads(listed.stdout)
    said, usual = run_tests(TESTS[module], 600)
    if said != "passed":
        raise SystemExit(f"{module}: its tests do not pass as it is: {' '.join(TESTS[module])}")
    alive, late = [], 0
    for number, mutant in enumerate(found):
        path.write_text(mutant["code"], encoding="utf-8")
        # A date of its own: Python takes compiled code for current that has the source's size and second.
        os.utime(path, (number, number))
        said, _ = run_tests(TESTS[module], 20 + 10 * usual)
        late += said == "timeout"
        if said == "passed":
            alive.append(mutant)
            print(
                f"  {module}:{mutant['line']} {mutant['kind']}\n    - {mutant['was']}\n    + {mutant['is']}", flush=True
            )
    path.write_text(code, encoding="utf-8")
    killed = len(found) - len(alive)
    share = 100 * killed / max(1, len(found))
    print(f"{module}: {killed} of {len(found)} killed ({share:.1f} %), {late} of them by time", flush=True)
    return alive


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", default=list(TESTS), help="which (all in tests/mutation/modules.py)")
    parser.add_argument("--mutator", type=Path, required=True, help="a Python with cosmic-ray")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.modules) - set(TESTS))
    if unknown:
        parser.error(f"{' '.join(unknown)}: tests/mutation/modules.py does not say which tests are theirs")
    mutator = arguments.mutator.absolute()
    os.environ |= {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONHASHSEED": "0"}
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        unwanted = shutil.ignore_patterns(".git", ".venv*", "runs", "data/coco", "__pycache__", ".*_cache", "build")
        shutil.copytree(ROOT, copy, ignore=unwanted, symlinks=True)
        os.chdir(copy)
        os.environ["PYTHONPATH"] = str(copy)
        sys.path[:] = [
            str(copy),
            *(each for each in sys.path if Path(each or ".").resolve() != ROOT / "tests/mutation"),
        ]
        for library in LIBRARIES:
            importlib.import_module(library)
        # The house's own modules, which only gave mmcv its operators, are imported anew in every fork.
        for name in [name for name in sys.modules if name.split(".")[0] in ("benchmarks", "pretrain")]:
            del sys.modules[name]
        for module in arguments.modules:
            judge(module, mutator)


if __name__ == "__main__":
    main()
