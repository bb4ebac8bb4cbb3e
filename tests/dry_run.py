"""What ``flsl-bench run --dry-run`` says of a folder of data: the third answer beside the check and the run."""

from __future__ import annotations

from pathlib import Path

from in_process import Done, run_suite

from benchmarks.controls import write_random_control


def dry_run(task: str, data_root: Path, out: Path) -> Done:
    """The command, in this process; ``out`` must stay empty but for the weights that it needs."""
    weights = out / "random.safetensors"
    write_random_control(weights, seed=0)
    words = ["--tasks", task, "--scale", "mini", "--data-root", data_root, "--out", out / "runs", "--dry-run"]
    done = run_suite("run", f"random={weights}", *words)
    assert not (out / "runs").exists()
    return done
