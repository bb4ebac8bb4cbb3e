"""Can a table lose work? Kill its driver and all of its children with SIGKILL again and again, and start it again.

Kills come at random moments: while it starts, while a job runs, while a record is written. In the end every job must
have one record, written once, with the scores of a run that was left alone, and nothing half-written may lie about.

    python tests/performance/driver_kills.py --kills 10
    python tests/performance/driver_kills.py --kills 3 --table 3
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import shapes
from benchmarks.controls import write_random_control
from benchmarks.core.result import read_results

ROOT = Path(__file__).resolve().parents[2]


def make_data(root: Path, table: int) -> list[str]:
    """The data of a table at the smallest size, and the options that make a job short."""
    if table == 4:
        shapes.write_davis(root, 0, 2, frames=5, height=96, width=160)
        return []
    if table == 3:
        shapes.write_uavdt(root, ("M0101", "M0203", "M0208"), frames=6, height=144, width=256, seed=0)
        return ["--epochs", "2", "--long-side", "128", "--short-side", "96"]
    shapes.write_world(root, "tiny", sets=("imagenet",))
    return ["--epochs", "2"]


def command(table: int, folder: Path, out: str, jobs: int, options: list[str]) -> list[str]:
    words = [sys.executable, str(ROOT / f"tools/table{table}.py"), "--data-root", str(folder / "data")]
    words += ["--out", str(folder / out), "--scale", "mini", *options]
    if table < 5:
        for seed in range(jobs):
            words += ["--checkpoint", f"c{seed}={folder}/c{seed}.safetensors"]
    else:
        words += ["--seeds", *map(str, range(jobs)), "--settings", "K64"]
    return words


def start(words: list[str], errors: Path) -> subprocess.Popen:
    with open(errors, "ab") as stream:
        return subprocess.Popen(words, stdout=stream, stderr=stream, start_new_session=True)


def stored(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (out / "records").glob("*.json") if path.name[0] != "."}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--table", type=int, choices=(3, 4, 6), default=4)
    parser.add_argument("--jobs", type=int, default=6)
    parser.add_argument("--at-once", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rng, faults, moments = random.Random(args.seed), [], []
    with tempfile.TemporaryDirectory() as name:
        folder, errors = Path(name), Path(name) / "output"
        options = [*make_data(folder / "data", args.table), "--gpus", str(args.at_once)]
        for seed in range(args.jobs):
            write_random_control(folder / f"c{seed}.safetensors", seed)
        began = time.monotonic()
        assert start(command(args.table, folder, "whole", args.jobs, options), errors).wait() == 0, errors.read_text()
        whole = time.monotonic() - began
        words, out = command(args.table, folder, "killed", args.jobs, options), folder / "killed"
        kept: dict[str, bytes] = {}
        for kill in range(args.kills):
            process = start(words, errors)
            # Every third time soon after a record appeared; else at any moment of the time that two jobs take.
            before, end = stored(out).keys(), time.monotonic() + rng.uniform(0, 2 * whole / args.jobs)
            while process.poll() is None and time.monotonic() < end:
                if kill % 3 == 2 and stored(out).keys() != before:
                    break
                time.sleep(0.005)
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            now = stored(out)
            moments.append(len(now))
            faults += [f"kill {kill}: record {name} changed or lost" for name in kept if now.get(name) != kept[name]]
            kept = now
            for name, content in now.items():
                try:
                    json.loads(content)
                except ValueError:
                    faults.append(f"kill {kill}: {name} is half-written")
        code = start(words, errors).wait()
        if code:
            faults.append(f"the last start ended with {code}: {errors.read_text()[-1500:]}")
        records, reference = read_results(out / "records"), read_results(folder / "whole" / "records")
        jobs = {record.job for record in records}
        if not len(jobs) == len(records) == args.jobs:
            faults.append(f"{len(records)} records of {len(jobs)} jobs instead of {args.jobs}")
        written = [log.read_text().count("record: ") for log in (out / "logs").glob("*.log")]
        if max(written) > 1:
            faults.append(f"jobs that wrote records: {written}")
        scores = [{record.job: record.metrics for record in both} for both in (records, reference)]
        if scores[0] != scores[1]:
            faults.append("the scores differ from those of the run that was left alone")
        half = [path.name for path in out.rglob(".*") if path.is_file() and path.name != ".lock"]
        half = [name for name in half if "records" in name or name.endswith(".json")]
        if half:
            faults.append(f"half-written files left: {half}")
    early = sum(moment < args.jobs for moment in moments)
    print(f"{args.kills} kills, {early} with jobs left to do; records at each: {moments}; {len(records)} at the end")
    print("\n".join(faults) or "no record lost or changed, nothing half-written, no job done twice, the same scores")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
