"""What a plan and a report cost at the real size of the data: seconds and peak memory of each command.

Makes the stand-in of a data set where it is not there yet (``stand_ins.py``), then plans its task at scale paper twice,
with an empty cache before. With ``--first-step`` it starts the task on the whole stand-in instead, with the settings of
scale mini, which a CPU can do, and stops it at the first line of its losses (ImageNet: of FLSL's pretraining; DAVIS: at
the first label map). ``report`` makes the page and the leaderboard of 500 records.

    python tests/performance/full_size.py coco imagenet ade20k uavdt davis --root STAND_INS
    python tests/performance/full_size.py coco imagenet ade20k uavdt davis --root STAND_INS --first-step
    python tests/performance/full_size.py report --root STAND_INS
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from stand_ins import MAKERS

from benchmarks.controls import SMALL_VIT, write_random_control

ROOT = Path(__file__).resolve().parents[2]
TASKS = {
    "coco": "coco-mask-rcnn",
    "imagenet": "knn",
    "ade20k": "ade20k-fpn",
    "uavdt": "uavdt",
    "davis": "davis",
}
RECORDS = 500
BENCH = ("-m", "benchmarks")
#: Files that tell that something was computed.
SIGNS = ("losses.jsonl", "log.jsonl", "00001.png")


def measured(words: Sequence[str], cache: Path, reached: Callable[[], bool] = lambda: False) -> tuple[float, int, str]:
    """Seconds, peak MiB of ``python WORDS`` with its children, and what it printed; killed once it ``reached``."""
    environment = {**os.environ, "FLSL_CACHE": str(cache), "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    start, lines, peak, stopped = time.monotonic(), [], 0, False
    process = subprocess.Popen(
        [sys.executable, *words], env=environment, cwd=ROOT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip
    reader = threading.Thread(target=lambda: lines.extend(iter(process.stdout.readline, "")))
    reader.start()
    while process.poll() is None and not (stopped := reached()):
        peak = max(peak, sum(map(resident, family(process.pid))))
        time.sleep(0.05)
    seconds = time.monotonic() - start
    if stopped:
        os.killpg(process.pid, signal.SIGKILL)
    reader.join()
    text = "".join(lines)
    if process.wait() and not stopped:
        raise SystemExit(f"{' '.join(words)} failed: {text[-2000:]}")
    return seconds, peak, text


def family(pid: int) -> list[int]:
    """A process and its descendants (Linux)."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [pid, *(one for child in children for one in family(int(child)))]


def resident(pid: int) -> int:
    """MiB that a process holds."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20
    except (OSError, IndexError):
        return 0


def plans(name: str, root: Path, weights: Path, cache: Path) -> None:
    """Plan twice, the first time with nothing kept."""
    words = [*BENCH, "run", f"a={weights}", "--tasks", TASKS[name], "--data-root", str(root / name), "--dry-run"]
    for which in ("first", "second"):
        seconds, peak, text = measured([*words, "--out", str(root / "out"), "--scale", "paper"], cache)
        if "1 jobs, 0 done, 1 to do" not in text:
            raise SystemExit(f"{name}: no plan: {text[-2000:]}")
        print(f"{name}: {which} plan {seconds:.1f} s, peak {peak} MiB", flush=True)


def first_step(name: str, root: Path, weights: Path, cache: Path) -> None:
    """From the command to the first thing that it has computed, with nothing kept and again."""
    words = [*BENCH, "run", f"a={weights}", "--tasks", TASKS[name], "--data-root", str(root / name), "--scale", "mini"]
    if name == "imagenet":
        words = ["-m", "pretrain", "pretrain/configs/shapes.yaml", f"data.root={root / name / 'train'}", "run.batch=8"]
    for which in ("first", "second"):
        with tempfile.TemporaryDirectory() as out:
            place = [f"run.out={out}", "run.log_every=1"] if name == "imagenet" else ["--out", out]

            def reached(out=out) -> bool:
                found = (path for kind in SIGNS for path in Path(out).rglob(kind))
                return any(path.stat().st_size for path in found)

            seconds, peak, _ = measured([*words, *place], cache, reached)
        print(f"{name}: {which} start to its first step {seconds:.1f} s, peak {peak} MiB", flush=True)


def report(root: Path, cache: Path) -> None:
    """Page and leaderboard of :data:`RECORDS` records, made of the reference results with other names and scores."""
    folder = root / "records-500"
    (folder / "records").mkdir(parents=True, exist_ok=True)
    known = [json.loads(path.read_text()) for path in sorted((ROOT / "docs" / "records").glob("*.json"))]
    for number in range(RECORDS):
        record = json.loads(json.dumps(known[number % len(known)]))
        record["name"] = f"model-{number // len(known):03d}"
        (folder / "records" / f"{number:04d}.json").write_text(json.dumps(record))
    for kind in ("report", "leaderboard"):
        target = root / f"{kind}.html"
        seconds, peak, _ = measured([*BENCH, kind, str(folder), "--out", str(target)], cache)
        print(f"{kind}: {RECORDS} records {seconds:.1f} s, peak {peak} MiB, {target.stat().st_size / 1e6:.1f} MB")


def make(name: str, root: Path) -> None:
    """The stand-in of a set, where it is not there yet."""
    if not (root / name).exists():
        began = time.monotonic()
        MAKERS[name](root / name)
        print(f"{name}: stand-in made in {time.monotonic() - began:.0f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="+", choices=(*MAKERS, "report"))
    parser.add_argument("--first-step", action="store_true", help="start the tasks, instead of planning them")
    parser.add_argument("--root", required=True, type=Path, help="where the stand-ins are, or will be")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        weights, cache = Path(folder) / "w.safetensors", Path(folder) / "cache"
        write_random_control(weights, 0, SMALL_VIT)
        for name in args.what:
            if name == "report":
                report(args.root, cache)
            else:
                make(name, args.root)
                (first_step if args.first_step else plans)(name, args.root, weights, cache)


if __name__ == "__main__":
    main()
